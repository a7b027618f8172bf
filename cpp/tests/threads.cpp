// The pool of threads, and the memory that belongs to each.
#include "../threads.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#if !defined(_WIN32)
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

using kf::parallel;
using std::ptrdiff_t;
using Clock = std::chrono::steady_clock;

void pause(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// Whether items 0 .. n - 1 each run once.
bool once_each(ptrdiff_t n) {
  const auto times = std::make_unique<std::atomic<int>[]>(static_cast<std::size_t>(n) + 1);
  const bool whole = parallel(n, [&](ptrdiff_t i) { ++times[static_cast<std::size_t>(i)]; });
  for (ptrdiff_t i = 0; i < n; ++i)
    if (times[static_cast<std::size_t>(i)] != 1) return false;
  return whole;
}

// The threads that a job runs on; its items wait until there are `expected` of them, or too long.
std::set<std::thread::id> who(std::size_t expected) {
  std::mutex mutex;
  std::set<std::thread::id> ids;
  const auto begin = Clock::now();
  parallel(32, [&](ptrdiff_t) {
    for (bool met = false; !met && since(begin) < 5;) {
      pause(1);
      const std::lock_guard lock(mutex);
      ids.insert(std::this_thread::get_id());
      met = ids.size() >= expected;
    }
  });
  return ids;
}

std::atomic<int> asked{0};
std::thread::id asker;
bool go_on() {
  ++asked;
  asker = std::this_thread::get_id();
  return false;
}
bool stop() {
  ++asked;
  return true;
}
bool broken() { throw std::runtime_error("asking failed"); }

}  // namespace

TEST("threads: each item runs once") {
  for (const int n : {1, 2, 3, 8}) {
    kf::set_threads(n);
    CHECK_EQ(kf::threads(), n);
    for (const ptrdiff_t items : {0, 1, 2, 3, 7, 100, 5000}) CHECK(once_each(items));
    for (int i = 0; i < 300; ++i) CHECK(once_each(i % 7));
  }
}

TEST("threads: results are seen by the caller") {
  kf::set_threads(4);
  for (int times = 0; times < 200; ++times) {
    std::vector<int> values(64);
    parallel(64, [&](ptrdiff_t i) { values[static_cast<std::size_t>(i)] = static_cast<int>(i) + times; });
    for (int i = 0; i < 64; ++i) CHECK_EQ(values[static_cast<std::size_t>(i)], i + times);
  }
}

TEST("threads: as many as were set, and no more") {
  const auto self = std::this_thread::get_id();
  for (const std::size_t n : {3u, 1u, 2u, 4u, 1u}) {
    kf::set_threads(static_cast<int>(n));
    const auto ids = who(n);
    CHECK_EQ(ids.size(), n);
    CHECK(ids.count(self) == 1);
  }
}

TEST("threads: a job within an item runs on its thread") {
  kf::set_threads(4);
  std::atomic<int> inner{0};
  parallel(16, [&](ptrdiff_t) {
    const auto self = std::this_thread::get_id();
    parallel(16, [&](ptrdiff_t) {
      CHECK(std::this_thread::get_id() == self);
      ++inner;
    });
  });
  CHECK_EQ(inner.load(), 256);
}

TEST("threads: an exception comes back") {
  for (const int n : {1, 2, 4}) {
    kf::set_threads(n);
    for (int times = 0; times < 50; ++times) {
      std::atomic<int> run{0};
      bool caught = false;
      try {
        parallel(1000, [&](ptrdiff_t i) {
          ++run;
          if (i == times) throw std::runtime_error("item");
          if (i > times + 20) pause(1);  // the others may be faster than the exception
        });
      } catch (const std::runtime_error& error) {
        caught = std::string(error.what()) == "item";
      }
      CHECK(caught);
      CHECK(run < 1000);
      CHECK(once_each(10));
    }
  }
}

TEST("threads: several callers") {
  kf::set_threads(4);
  std::atomic<int> at_once{0}, most{0}, wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([&] {
      for (int times = 0; times < 40; ++times) {
        std::atomic<int> run{0};
        parallel(20, [&](ptrdiff_t) {
          const int now = ++at_once;
          for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
          }
          pause(times % 10 == 0 ? 1 : 0);
          --at_once;
          ++run;
        });
        wrong += run != 20;
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK_EQ(wrong.load(), 0);
  // The pool gives three; a caller that comes later makes one of them leave after its item.
  CHECK(most <= 3 + 3);
  CHECK_EQ(who(4).size(), 4u);
}

TEST("threads: workers go from a job that ends to one that waits") {
  kf::set_threads(2);
  std::atomic<bool> begun{false};
  std::thread other([&] {
    parallel(2, [&](ptrdiff_t) {
      begun = true;
      pause(20);
    });
  });
  while (!begun) std::this_thread::yield();
  CHECK_EQ(who(2).size(), 2u);
  other.join();
}

TEST("threads: the number changes while jobs run") {
  std::atomic<bool> over{false};
  std::thread changes([&] {
    for (int i = 0; !over; ++i) {
      kf::set_threads(1 + i % 5);
      std::this_thread::yield();
    }
  });
  for (int times = 0; times < 2000; ++times) CHECK(once_each(times % 20));
  over = true;
  changes.join();
  kf::set_threads(3);
  CHECK_EQ(who(3).size(), 3u);
}

TEST("threads: jobs after sleep and in quick succession") {
  kf::set_threads(3);
  for (int i = 0; i < 30; ++i) {
    pause(i % 3);
    CHECK(once_each(12));
  }
  for (int i = 0; i < 3000; ++i) CHECK(once_each(3));
}

TEST("threads: a job can be interrupted") {
  for (const int n : {1, 3}) {
    kf::set_threads(n);
    std::atomic<int> run{0};
    const auto item = [&](ptrdiff_t) {
      ++run;
      pause(5);
    };
    asked = 0;
    const auto begin = Clock::now();
    CHECK(!parallel(6000, item, stop));
    CHECK(since(begin) < 5);  // instead of at least 10 s
    CHECK_EQ(asked.load(), 1);
    CHECK(run < 6000);

    asked = 0;
    const auto again = Clock::now();
    CHECK(parallel(40 * n, item, go_on));
    CHECK(asked >= 1);
    CHECK(asked <= since(again) / 0.05);
    CHECK(asker == std::this_thread::get_id());
  }
}

TEST("threads: the caller asks while it waits") {
  kf::set_threads(2);
  const auto self = std::this_thread::get_id();
  asked = 0;
  std::atomic<bool> other{false};
  // The caller's items wait until a worker has one, which is long.
  CHECK(!parallel(
      2,
      [&](ptrdiff_t) {
        if (std::this_thread::get_id() != self) {
          other = true;
          while (asked == 0) pause(1);
        } else {
          while (!other) pause(1);
        }
      },
      stop));
  CHECK_EQ(asked.load(), 1);
}

TEST("threads: an exception of the callback comes back") {
  for (const int n : {1, 2}) {
    kf::set_threads(n);
    bool caught = false;
    try {
      parallel(1000, [](ptrdiff_t) { pause(2); }, broken);
    } catch (const std::runtime_error&) {
      caught = true;
    }
    CHECK(caught);
    CHECK(once_each(10));
  }
}

TEST("threads: scratch is aligned, its own for each thread and slot, and keeps its place") {
  kf::set_threads(4);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  std::set<std::byte*> places;
  const auto begin = Clock::now();
  parallel(64, [&](ptrdiff_t i) {
    std::byte* first = kf::scratch(1000 + 17 * static_cast<std::size_t>(i), 0);
    std::byte* second = kf::scratch(64, 1);
    CHECK(first != second);
    CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(second) % 64 == 0);
    first[0] = second[63] = std::byte(i);
    for (bool met = false; !met && since(begin) < 5;) {
      pause(1);
      const std::lock_guard lock(mutex);
      ids.insert(std::this_thread::get_id());
      met = ids.size() == 4;
    }
    CHECK(first[0] == std::byte(i));
    CHECK(second[63] == std::byte(i));
    const std::lock_guard lock(mutex);
    places.insert(second);
  });
  CHECK_EQ(ids.size(), 4u);
  CHECK_EQ(places.size(), 4u);
  CHECK(kf::scratch(10, 2) == kf::scratch(10, 2));
  kf::scratch(std::size_t{70} << 20, 3)[0] = std::byte(1);
  kf::scratch(10, 3)[9] = std::byte(1);
}

// Sanitizers and emulators, which have no threads after fork or count those left behind as leaks, do without "forked".
#if !defined(_WIN32) && !defined(__wasm__)
namespace {

// The exit status of a child that runs f and then ends as a program does; -1 if that takes more than twenty seconds.
template <class F>
int in_child(const F& f) {
  const pid_t child = fork();
  if (child == 0) std::exit(f());
  int status = 0;
  for (int i = 0; i < 2000; ++i) {
    if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    pause(10);
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return -1;
}

}  // namespace

TEST("threads: a forked child starts its own") {
  kf::set_threads(3);
  CHECK(once_each(100));
  const auto works = [] { return once_each(100) && who(3).size() == 3 ? 0 : 1; };
  CHECK_EQ(in_child(works), 0);
  CHECK_EQ(in_child([&] { return works() + in_child(works); }), 0);

  // While another thread holds the locks most of the time.
  std::atomic<bool> over{false};
  std::thread busy([&] {
    while (!over) once_each(4);
  });
  for (int i = 0; i < 20; ++i) CHECK_EQ(in_child([] { return once_each(100) ? 0 : 1; }), 0);
  over = true;
  busy.join();
  CHECK(once_each(100));
}

TEST("threads: a forked process ends with workers asleep or at work") {
  kf::set_threads(3);
  for (const int after : {0, 3, 3, 10})
    CHECK_EQ(in_child([after] {
      once_each(100);
      pause(after);
      std::thread([] {
        for (;;) parallel(8, [](ptrdiff_t) { pause(1); });
      }).detach();
      pause(after);
      return 7;
    }), 7);
}
#endif
