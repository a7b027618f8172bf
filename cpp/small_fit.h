// The kernel between two images by least squares, as small as the browser needs it: one plane each, kernels of a few
// hundred weights. Lag products come from the engine; everything after them is float64.
#pragma once
#include <cmath>
#include <vector>

#include "array.h"

namespace kf {

using Numbers = std::vector<double>;

// A before and an after; the after is as large, or smaller by the kernel's reach. `low`, `high`: the ends of its range,
// at which values may be clipped; `step`: 1 for whole numbers, 0 for others.
struct Views {
  const float* before;
  std::ptrdiff_t rows, columns;
  const float* after;
  std::ptrdiff_t after_rows, after_columns;
  double low, high, step;
  bool same() const { return rows == after_rows && columns == after_columns; }
};

// A window of rows × columns weights; that of the output (y, x) begins at the pixel (y - top, x - left).
struct Shape {
  std::ptrdiff_t top, left, rows, columns;
  std::ptrdiff_t size() const { return rows * columns; }
};

// The outputs [y0, y1) × [x0, x1) whose windows lie inside the before.
struct Part {
  std::ptrdiff_t y0, y1, x0, x1;
  std::ptrdiff_t rows() const { return y1 - y0; }
  std::ptrdiff_t columns() const { return x1 - x0; }
  std::ptrdiff_t count() const { return rows() > 0 && columns() > 0 ? rows() * columns() : 0; }
};

inline std::ptrdiff_t smaller(std::ptrdiff_t a, std::ptrdiff_t b) { return a < b ? a : b; }
inline std::ptrdiff_t larger(std::ptrdiff_t a, std::ptrdiff_t b) { return a > b ? a : b; }

inline Part part_of(const Views& v, const Shape& s) {
  return {larger(0, s.top), smaller(v.after_rows, v.rows - s.rows + 1 + s.top), larger(0, s.left),
          smaller(v.after_columns, v.columns - s.columns + 1 + s.left)};
}

// Sums over windows: Gram matrix, products with the after, and plain sums, of numbers less a shift each.
struct Moments {
  std::ptrdiff_t size = 0;
  double count = 0, before_shift = 0, after_shift = 0, after_sum = 0, after_square = 0;
  Numbers gram, right, totals;

  // The same about the means: what an offset leaves to the kernel.
  Moments centred() const {
    Moments m = *this;
    for (std::ptrdiff_t i = 0; i < size; i++) {
      for (std::ptrdiff_t j = 0; j < size; j++) m.gram[i * size + j] -= totals[i] * totals[j] / count;
      m.right[i] -= totals[i] * after_sum / count;
    }
    m.after_square -= after_sum * after_sum / count;
    return m;
  }
};

// Moments of the windows of a part. `counts` says which outputs count (null: all); then windows are summed one by one,
// and of more than `products` multiply-adds every so-manieth.
Moments gather(const Views& v, const Shape& s, const Part& part, const unsigned char* counts, double before_shift,
               double after_shift, double products = 3e8);

struct Solution {
  Numbers kernel, inverse;     // the inverse of the Gram matrix, or its pseudo-inverse
  Numbers undetermined;        // directions that change nothing, one after another
  std::ptrdiff_t rank = 0;
};

// The kernel of least squared error, of least norm where there are several.
Solution solve(const Moments& centred);

enum class Judgement { exact, approximate, undetermined, not_linear };
enum class Rounding { none = -1, nearest, nearest_even, truncated };
// Rules in the order of `Border`, then two of other programs: border pixels unfiltered, or weights outside left out.
constexpr int rules = 7, copied = 5, renormalised = 6;
enum class Reason { from_border, same_with, inside, no_reach, none_fits, several };

struct SmallFit {
  Judgement verdict = Judgement::approximate;
  Shape shape{};
  Solution solution;
  Numbers errors, integers;
  double offset = 0, r2 = 0, sd = 0, divisor = 0, cval = 0;
  double curve = 0, texture = 1, correlation = 0;
  bool related = true, limit = false;
  Rounding rounding = Rounding::none;
  int boundary = -1;
  unsigned candidates = 0;
  Reason reason = Reason::inside;
  double samples = 0, excluded = 0;
};

// Correlates in float32, same size, under a border.
using Apply = void (*)(const Views& v, const float* kernel, const Shape& s, Border border, double cval, float* out);

// The fit of one size (rows 0: searched for, up to `most` each way).
SmallFit small_fit(const Views& v, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t most, Apply apply);

}  // namespace kf
