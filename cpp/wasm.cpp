// The engine for the browser: functions of plain numbers and pointers into the module's memory, which the page's worker
// calls. Images are float32, kernels float64, row by row.
#include <cmath>
#include <cstdlib>
#include <new>

#include "array.h"
#include "small_fit.h"

#define KF_EXPORT(name) extern "C" __attribute__((export_name(#name)))

// Where memory ends, the module traps; the library's own messages would make it twice as large.
void* operator new(std::size_t bytes) {
  if (void* memory = std::malloc(bytes)) return memory;
  __builtin_trap();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
namespace std {
inline namespace __1 {
void __libcpp_verbose_abort(const char*, ...) noexcept { __builtin_trap(); }
}  // namespace __1
}  // namespace std

namespace baseline {
void direct_f32(const kf::Correlation& job, const kf::Planes& image, const kf::Planes& result, std::ptrdiff_t y0,
                std::ptrdiff_t y1, std::ptrdiff_t x0, std::ptrdiff_t x1);
}

namespace kf {

// There is one thread: its scratch memory is the module's.
std::byte* scratch(std::size_t bytes, int slot) {
  static struct {
    std::byte* data;
    std::size_t size;
  } all[8];
  auto& one = all[slot];
  if (bytes > one.size) {
    std::free(one.data);
    one.size = (bytes + 63) / 64 * 64;
    one.data = (std::byte*)std::aligned_alloc(64, one.size);
  }
  return one.data;
}

namespace {

// The last fit as plain numbers.
Numbers answer;

void apply(const Views& v, const float* kernel, const Shape& s, Border border, double cval, float* out);

struct Descending {
  Moments moments;
  Numbers velocity;
} descending;

Planes lines(const float* data, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t channels) {
  constexpr std::ptrdiff_t size = sizeof(float);
  return {(std::byte*)data, Type::f32, 1, rows, columns, 0, columns * channels * size, channels * size, channels};
}

void correlate(const float* image, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t channels,
               const float* kernel, Window down, Window along, Border border, double cval, float* out,
               std::ptrdiff_t out_rows, std::ptrdiff_t out_columns) {
  Correlation job{down, along};
  job.border = border;
  job.cval = cval;
  job.sums = Type::f32;
  job.single_weights = kernel;
  baseline::direct_f32(job, lines(image, rows, columns, channels), lines(out, out_rows, out_columns, channels), 0, out_rows,
                       0, out_columns);
}

void apply(const Views& v, const float* kernel, const Shape& s, Border border, double cval, float* out) {
  correlate(v.before, v.rows, v.columns, 1, kernel, {s.rows, s.top, 1, 1}, {s.columns, s.left, 1, 1}, border, cval, out,
            v.rows, v.columns);
}

}  // namespace
}  // namespace kf

KF_EXPORT(reserve) void* reserve(std::size_t bytes) { return std::malloc(bytes); }
KF_EXPORT(release) void release(void* memory) { std::free(memory); }

// The cross-correlation of `channels` interleaved channels; output 0 begins `top`, `left` in front of the image.
KF_EXPORT(correlate)
void correlate(const float* image, int rows, int columns, int channels, const float* kernel, int kernel_rows,
               int kernel_columns, int top, int left, int stride, int dilation, int border, double cval, float* out,
               int out_rows, int out_columns) {
  kf::correlate(image, rows, columns, channels, kernel, {kernel_rows, top, stride, dilation},
                {kernel_columns, left, stride, dilation}, (kf::Border)border, cval, out, out_rows, out_columns);
}

// The fit of a before and an after; `size` 0 searches up to `most`. The answer: 24 numbers, then tables of rows ×
// columns: kernel, errors, integers (where there is a divisor), directions that are not determined.
KF_EXPORT(learn)
const double* learn(const float* before, int rows, int columns, const float* after, int after_rows, int after_columns,
                    int kernel_rows, int kernel_columns, int most, double low, double high, double step) {
  const kf::Views v{before, rows, columns, after, after_rows, after_columns, low, high, step};
  const kf::SmallFit fit = kf::small_fit(v, kernel_rows, kernel_columns, most, kf::apply);
  const bool same = v.same();
  const double open = (double)(fit.shape.size() - fit.solution.rank);
  kf::answer = {(double)fit.verdict, (double)fit.shape.rows, (double)fit.shape.columns,
                (double)(same ? fit.shape.top : fit.shape.rows / 2), (double)(same ? fit.shape.left : fit.shape.columns / 2),
                (double)fit.solution.rank, fit.samples, fit.excluded, fit.offset, fit.r2, fit.sd, fit.divisor,
                (double)fit.rounding, (double)fit.boundary, fit.cval, (double)fit.candidates, (double)fit.reason, fit.curve,
                fit.texture, fit.correlation, (double)fit.limit, open, (double)fit.related, 0};
  for (const kf::Numbers* all : {&fit.solution.kernel, &fit.errors, &fit.integers, &fit.solution.undetermined})
    kf::answer.insert(kf::answer.end(), all->begin(), all->end());
  return kf::answer.data();
}

// Begins a descent on the summed squared error of all windows, about the means or as it is; returns the largest
// eigenvalue of the Gram matrix: rates below its inverse descend.
KF_EXPORT(descend)
double descend(const float* before, int rows, int columns, const float* after, int after_rows, int after_columns,
               int kernel_rows, int kernel_columns, int centred) {
  const kf::Views v{before, rows, columns, after, after_rows, after_columns, -INFINITY, INFINITY, 0};
  const kf::Shape s = v.same() ? kf::Shape{kernel_rows / 2, kernel_columns / 2, kernel_rows, kernel_columns}
                               : kf::Shape{0, 0, kernel_rows, kernel_columns};
  kf::Descending& d = kf::descending;
  d.moments = kf::gather(v, s, kf::part_of(v, s), nullptr, 0, 0);
  if (centred) d.moments = d.moments.centred();
  const std::ptrdiff_t n = d.moments.size;
  d.velocity.assign((std::size_t)n, 0);
  kf::Numbers one((std::size_t)n, 1), next((std::size_t)n);
  double largest = 0;
  for (int turn = 0; turn < 60; turn++) {
    double norm = 0;
    for (std::ptrdiff_t i = 0; i < n; i++) {
      next[i] = 0;
      for (std::ptrdiff_t j = 0; j < n; j++) next[i] += d.moments.gram[i * n + j] * (one[j] + (turn ? 0 : 0.01 * (double)j));
      norm += next[i] * next[i];
    }
    norm = std::sqrt(norm);
    if (!(norm > 0)) return 0;
    for (std::ptrdiff_t i = 0; i < n; i++) one[i] = next[i] / norm;
    if (turn) largest = norm;
  }
  return largest;
}

// One step of the kernel down the slope; returns the squared error before it.
KF_EXPORT(step) double step(double* kernel, double rate, double momentum) {
  kf::Descending& d = kf::descending;
  const std::ptrdiff_t n = d.moments.size;
  double loss = d.moments.after_square;
  for (std::ptrdiff_t i = 0; i < n; i++) {
    double along = 0;
    for (std::ptrdiff_t j = 0; j < n; j++) along += d.moments.gram[i * n + j] * kernel[j];
    loss += kernel[i] * (along - 2 * d.moments.right[i]);
    d.velocity[i] = momentum * d.velocity[i] + 2 * (along - d.moments.right[i]);
  }
  for (std::ptrdiff_t i = 0; i < n; i++) kernel[i] -= rate * d.velocity[i];
  return loss > 0 ? loss : 0;
}
