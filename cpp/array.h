// Arrays and correlations as plain data: what the bindings fill in and the kernels of every instruction set read.
#pragma once
#include <cstddef>
#include <cstdint>

namespace kf {

enum class Type : std::uint8_t { u8, i8, u16, i16, u32, i32, f16, bf16, f32, f64 };
constexpr std::size_t types = 10;
static_assert((std::size_t)Type::f64 + 1 == types);

constexpr std::ptrdiff_t size_of(Type type) {
  switch (type) {
    case Type::u8:
    case Type::i8: return 1;
    case Type::u16:
    case Type::i16:
    case Type::f16:
    case Type::bf16: return 2;
    case Type::u32:
    case Type::i32:
    case Type::f32: return 4;
    case Type::f64: return 8;
  }
  return 0;
}

constexpr bool is_integer(Type type) { return type <= Type::i32 && type != Type::f16 && type != Type::bf16; }

// Planes of one image (or of one result): `channels` planes of rows × columns pixels, strides in bytes.
// A line may hold `together` channels side by side that one kernel is applied to: then `column` is the stride of
// a pixel, `together` times that of an element, and `channels` is 1.
struct Planes {
  std::byte* data;
  Type type;
  std::ptrdiff_t channels, rows, columns;
  std::ptrdiff_t channel, row, column;
  std::ptrdiff_t together = 1;
};

enum class Border : std::uint8_t { constant, nearest, reflect, mirror, wrap };

// A window of `size` elements, `dilation` apart, that slides along an axis in steps of `stride`; output 0 begins
// `before` elements in front of the axis (behind its beginning, where that is negative).
struct Window {
  std::ptrdiff_t size, before, stride, dilation;
  std::ptrdiff_t span() const { return (size - 1) * dilation + 1; }
};

// The element of an axis of n that position i reads; -1 for the constant. Near the ends it is found without a division.
constexpr std::ptrdiff_t position(std::ptrdiff_t i, std::ptrdiff_t n, Border border) {
  if (i >= 0 && i < n) return i;
  std::ptrdiff_t period = n;
  switch (border) {
    case Border::constant: return -1;
    case Border::nearest: return i < 0 ? 0 : n - 1;
    case Border::wrap:
      if (i >= -n && i < 2 * n) return i < 0 ? i + n : i - n;
      i %= n;
      return i < 0 ? i + n : i;
    case Border::reflect:
      if (i >= -n && i < 2 * n) return i < 0 ? -1 - i : 2 * n - 1 - i;
      period = 2 * n;
      i %= period;
      if (i < 0) i += period;
      return i < n ? i : period - 1 - i;
    case Border::mirror:
      if (i > -n && i < 2 * n - 1) return i < 0 ? -i : 2 * (n - 1) - i;
      if (n == 1) return 0;
      period = 2 * (n - 1);
      i %= period;
      if (i < 0) i += period;
      return i < n ? i : period - i;
  }
  return -1;
}

// Rows of a part of a long sum; the head and the tail of a tile must not have more.
constexpr std::ptrdiff_t part_rows = 6;

// A cross-correlation: windows, border, weights, and what becomes of the sums.
//   acc = fma(weight[o][c][a][b], pixel[c][y * stride + a * dilation - before][...], acc) from 0, over c, a, b in order
// or, with factors, down every column of weights and then along the rows, one outer product after another.
struct Correlation {
  Window rows, columns;
  Border border = Border::reflect;
  double cval = 0;
  std::ptrdiff_t outputs = 1, channels = 1, groups = 1;  // all outputs; channels of one group; groups
  const double* weights = nullptr;                       // outputs × channels × rows.size × columns.size
  std::ptrdiff_t terms = 0;                              // of factors; 0: none
  const double *down = nullptr, *along = nullptr;        // terms × rows.size, terms × columns.size
  const double* bias = nullptr;                          // outputs, or none
  // The same rounded, where sums are float32.
  const float *single_weights = nullptr, *single_down = nullptr, *single_along = nullptr, *single_bias = nullptr;
  double scale = 1;      // what sums are multiplied by before they are rounded to integers
  bool up = false;       // halves are rounded up, not to even
  Type sums = Type::f64; // f32 or f64: in which sums are taken
  float doubt = 0;       // above 0: float32 sums further than it from an integer are taken again in float64
  bool in_parts = false; // then parts of at most `part_rows` rows are summed from 0 and added
};

// A plane, and what is subtracted from its pixels before they are multiplied.
struct Shifted {
  Planes planes;
  double shift = 0;
};

// Lag products of every one of `a` with every one of `b`:
//   sums[i][j][r][c] += sum over y in [first, last), x of (a[i][y][x] - its shift) * (b[j][y + r][x + c] - its shift).
// All of `a` have the same size.
struct Lags {
  const Shifted *a, *b;
  std::ptrdiff_t a_count, b_count;
  std::ptrdiff_t rows, columns;
  bool single = false;  // float32 products may be summed in float32 over strips, which are added in float64
};

// Products of windows: with z the rows × columns pixels of one `before` after the other from a position on, less their
// shifts, 1, and the pixel of `after` there, less its shift, sums[i][j] += sum over the chosen positions in rows [first,
// last) of z[i] * z[j], for i <= j. `chosen` is rows × columns of `after`, 1 or 0, without gaps.
struct Windows {
  const Shifted* before;
  std::ptrdiff_t count;
  Shifted after;
  const std::byte* chosen;
  std::ptrdiff_t rows, columns;
};

// The functions of one instruction set. `direct` and `separable` write the results in rows [y0, y1) and columns
// [x0, x1) of every output channel; arrays are aligned to their elements and do not overlap.
struct Table {
  const char* name;
  bool fused;  // every step is a fused multiply-add
  void (*direct)(const Correlation&, const Planes& image, const Planes& result, std::ptrdiff_t y0, std::ptrdiff_t y1,
                 std::ptrdiff_t x0, std::ptrdiff_t x1);
  void (*separable)(const Correlation&, const Planes& image, const Planes& result, std::ptrdiff_t y0,
                    std::ptrdiff_t y1, std::ptrdiff_t x0, std::ptrdiff_t x1);
  void (*lags)(const Lags&, std::ptrdiff_t first, std::ptrdiff_t last, double* sums);
  void (*windows)(const Windows&, std::ptrdiff_t first, std::ptrdiff_t last, double* sums);
  // Does float32 multiply-adds in registers alone, as fast as they go, and returns how many: the measure of speed.
  std::ptrdiff_t (*multiply_adds)(std::ptrdiff_t rounds);
};

// Memory of the calling thread, aligned to 64 bytes, not set; valid until the next call with the same slot, 0 to 7.
std::byte* scratch(std::size_t bytes, int slot = 0);

}  // namespace kf
