#include "threads.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <new>

#include "array.h"

// WebAssembly has threads only where it is asked for them.
#if defined(__wasm__) && !defined(_REENTRANT)
#define KF_ALONE
#else
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#endif
#endif

namespace kf {
namespace {

using Clock = std::chrono::steady_clock;
using Item = std::function<void(std::ptrdiff_t)>;

constexpr auto poll_every = std::chrono::milliseconds(50);

// Asks whether the job shall end, but not more often than it may.
class Watch {
 public:
  explicit Watch(Interrupted ask) : ask_(ask) {
    if (ask_) next_ = Clock::now() + poll_every;
  }
  bool interrupted() {
    if (!ask_ || Clock::now() < next_) return false;
    if (ask_()) {
      ask_ = nullptr;
      return true;
    }
    next_ = Clock::now() + poll_every;
    return false;
  }

 private:
  Interrupted ask_;
  Clock::time_point next_;
};

thread_local bool in_item = false;

class InItem {
 public:
  InItem() : outer_(in_item) { in_item = true; }
  ~InItem() { in_item = outer_; }
  InItem(const InItem&) = delete;
  InItem& operator=(const InItem&) = delete;

 private:
  bool outer_;
};

bool alone(std::ptrdiff_t n, const Item& item, Watch watch) {
  const InItem here;
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    item(i);
    if (watch.interrupted()) return false;
  }
  return true;
}

constexpr std::size_t alignment = 64;
constexpr std::size_t large = std::size_t{64} << 20;

class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { release(); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* of(std::size_t bytes) {
    if (bytes > size_ || (size_ > large && bytes < size_ / 2)) {
      release();
      const std::size_t size = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
      data_ = static_cast<std::byte*>(::operator new(size, std::align_val_t{alignment}));
      size_ = size;
    }
    return data_;
  }
  void release_large() {
    if (size_ > large) release();
  }

 private:
  void release() {
    ::operator delete(data_, std::align_val_t{alignment});
    data_ = nullptr;
    size_ = 0;
  }

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

thread_local Buffer buffers[8];

}  // namespace

std::byte* scratch(std::size_t bytes, int slot) { return buffers[slot].of(bytes); }

#if defined(KF_ALONE)

void set_threads(int) {}

int threads() { return 1; }

bool parallel(std::ptrdiff_t n, const Item& item, Interrupted interrupted) {
  return alone(n, item, Watch(in_item ? nullptr : interrupted));
}

#else

namespace {

constexpr auto spin_for = std::chrono::microseconds(20);

// Waits for a moment without giving up the processor; returns whether `ready` came true.
template <class Ready>
bool spin(const Ready& ready) {
  const auto end = Clock::now() + spin_for;
  do {
    for (int i = 0; i < 8; ++i) {
      if (ready()) return true;
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      __asm__ __volatile__("yield");
#endif
    }
  } while (Clock::now() < end);
  return ready();
}

// Items to be done. Workers share its ownership: one that looks at it late finds nothing to claim and does no harm.
class Job {
 public:
  Job(std::ptrdiff_t n, const Item& item) : n_(n), item_(item) {}

  bool unclaimed() const { return next_.load(std::memory_order_relaxed) < n_; }

  // Claims an item and runs it; false where none is left.
  bool step() {
    if (!unclaimed()) return false;  // the counter does not run away
    const std::ptrdiff_t i = next_.fetch_add(1, std::memory_order_relaxed);
    if (i >= n_) return false;
    attempt([&] { item_(i); });
    count(1);
    return true;
  }

  // Runs f; if it throws, the job ends early and its caller throws the first of these exceptions again.
  template <class F>
  void attempt(const F& f) {
    try {
      f();
    } catch (...) {
      {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
      }
      drop();
    }
  }

  // Leaves out the items that nobody has claimed.
  void drop() {
    const std::ptrdiff_t next = next_.exchange(n_, std::memory_order_relaxed);
    if (next < n_) count(n_ - next);
  }

  bool over() const { return done_.load(std::memory_order_acquire) == n_; }

  bool wait() {
    std::unique_lock lock(mutex_);
    return ended_.wait_for(lock, poll_every, [this] { return over(); });
  }

  // Once it is over. The exception does not stay with the job, which a worker may be the last to let go.
  void rethrow() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  std::ptrdiff_t size() const { return n_; }

 private:
  void count(std::ptrdiff_t items) {
    if (done_.fetch_add(items, std::memory_order_acq_rel) + items == n_) {
      const std::lock_guard lock(mutex_);
      ended_.notify_one();
    }
  }

  const std::ptrdiff_t n_;
  const Item& item_;
  std::atomic<std::ptrdiff_t> next_{0}, done_{0};
  std::mutex mutex_;
  std::condition_variable ended_;
  std::exception_ptr error_;
};

std::atomic<int> limit{0};  // 0: not set yet

class Pool {
 public:
  // There is one, made when it is needed and never destroyed: its threads sleep until the process ends. No lock stands
  // before it, which another thread could hold while this one forks.
  static Pool& get() {
    Pool* pool = the_pool.load(std::memory_order_acquire);
    if (!pool) {
      auto fresh = std::make_unique<Pool>();
      if (the_pool.compare_exchange_strong(pool, fresh.get(), std::memory_order_acq_rel)) pool = fresh.release();
    }
    return *pool;
  }

  // After a fork: the threads have stayed behind, and locks may be held by them for ever.
  static void forget() { the_pool.store(nullptr, std::memory_order_release); }

  // Workers over the limit end.
  static void limit_changed() {
    Pool* pool = the_pool.load(std::memory_order_acquire);
    if (!pool) return;
    const std::lock_guard lock(pool->mutex_);
    pool->wake_.notify_all();
  }

  bool run(std::ptrdiff_t n, const Item& item, Watch watch) {
    const auto job = std::make_shared<Job>(n, item);
    begin(job);
    bool whole = true;
    const auto look = [&] {
      job->attempt([&] {
        if (!watch.interrupted()) return;
        whole = false;
        job->drop();
      });
    };
    {
      const InItem here;
      while (job->step()) look();
      if (!spin([&] { return job->over(); }))
        while (!job->wait()) look();
    }
    end(job);
    job->rethrow();
    return whole;
  }

 private:
  using Lock = std::unique_lock<std::mutex>;

  void begin(const std::shared_ptr<Job>& job) {
    std::ptrdiff_t wanted;
    {
      const Lock lock(mutex_);
      wanted = std::min<std::ptrdiff_t>(job->size(), limit.load(std::memory_order_relaxed)) - 1;
      while (workers_ < wanted && start()) ++workers_;
      jobs_.push_back(job);
      running_.fetch_add(1, std::memory_order_relaxed);
      posted_.fetch_add(1, std::memory_order_relaxed);
      wanted = std::min<std::ptrdiff_t>(wanted, sleeping_);
    }
    for (; wanted > 0; --wanted) wake_.notify_one();
  }

  void end(const std::shared_ptr<Job>& job) {
    const Lock lock(mutex_);
    jobs_.erase(std::find(jobs_.begin(), jobs_.end(), job));
    leave();
  }

  // One thread fewer is at work: if other jobs have been waiting for it, somebody takes its place.
  void leave() {
    running_.fetch_sub(1, std::memory_order_relaxed);
    if (sleeping_ > 0 && next()) wake_.notify_one();
  }

  std::shared_ptr<Job> next() const {
    for (const auto& job : jobs_)
      if (job->unclaimed()) return job;
    return nullptr;
  }

  bool start() {
#if !defined(_WIN32)
    // Signals are for the program's own threads, but for those that an instruction of a worker raises.
    sigset_t all, before;
    sigfillset(&all);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&all, own);
    pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
    bool started = true;
    try {
      std::thread([this] { work(); }).detach();
    } catch (const std::system_error&) {  // the system gives no more: jobs run on those there are
      started = false;
    }
#if !defined(_WIN32)
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
#endif
    return started;
  }

  void work() {
    in_item = true;
    bool spun = false;
    Lock lock(mutex_);
    for (;;) {
      const int most = limit.load(std::memory_order_relaxed);
      if (workers_ >= most) break;
      std::shared_ptr<Job> job;
      if (running_.load(std::memory_order_relaxed) < most) job = next();
      if (job) {
        running_.fetch_add(1, std::memory_order_relaxed);
        lock.unlock();
        // Where jobs of other threads have begun meanwhile, it makes room for them.
        while (running_.load(std::memory_order_relaxed) <= most && job->step()) {
        }
        job.reset();
        for (Buffer& buffer : buffers) buffer.release_large();
        lock.lock();
        leave();
        spun = false;
      } else if (!spun) {
        const std::uint64_t seen = posted_.load(std::memory_order_relaxed);
        lock.unlock();
        spin([&] { return posted_.load(std::memory_order_relaxed) != seen; });
        lock.lock();
        spun = true;
      } else {
        ++sleeping_;
        wake_.wait(lock);
        --sleeping_;
      }
    }
    --workers_;
    wake_.notify_one();  // if it was woken for a job
  }

  static std::atomic<Pool*> the_pool;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<Job>> jobs_;  // of all callers, in the order they came
  int workers_ = 0, sleeping_ = 0;
  std::atomic<int> running_{0};            // callers and workers that are in a job
  std::atomic<std::uint64_t> posted_{0};
};

std::atomic<Pool*> Pool::the_pool{nullptr};

#if !defined(_WIN32) && !defined(__wasm__)
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, Pool::forget);
#endif

}  // namespace

void set_threads(int n) {
  limit.store(std::max(n, 1));
  Pool::limit_changed();
}

int threads() {
  int n = limit.load(std::memory_order_relaxed);
  if (n == 0) {
    const int processors = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    if (limit.compare_exchange_strong(n, processors)) n = processors;
  }
  return n;
}

bool parallel(std::ptrdiff_t n, const Item& item, Interrupted interrupted) {
  const Watch watch(in_item ? nullptr : interrupted);
  if (n < 2 || in_item || threads() == 1) return alone(n, item, watch);
  return Pool::get().run(n, item, watch);
}

#endif

}  // namespace kf
