// Sums of outer products against nested loops, bit by bit.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "check.h"

namespace {

using kf::Border;
using kf::Correlation;
using kf::Planes;
using kf::Table;
using kf::Type;

std::mt19937 random_bits(12345);
std::ptrdiff_t between(std::ptrdiff_t low, std::ptrdiff_t high) { return low + (std::ptrdiff_t)(random_bits() % (std::uint32_t)(high - low + 1)); }
std::ptrdiff_t at_least_one(std::ptrdiff_t n) { return n > 1 ? n : 1; }
double uniform() { return random_bits() / 4294967296.0; }
template <std::size_t N> int one_of(const int (&from)[N]) { return from[random_bits() % N]; }

double half_value(std::uint16_t h) {
  const int exponent = h >> 10 & 31, fraction = h & 1023;
  const double v = exponent == 31  ? (fraction ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity())
                   : exponent == 0 ? std::ldexp(fraction, -24)
                                   : std::ldexp(1024 + fraction, exponent - 25);
  return h & 0x8000 ? -v : v;
}

double read(Type type, const std::byte* p) {
  const auto as = [p](auto v) {
    std::memcpy(&v, p, sizeof v);
    return v;
  };
  switch (type) {
    case Type::u8: return as(std::uint8_t{});
    case Type::i8: return as(std::int8_t{});
    case Type::u16: return as(std::uint16_t{});
    case Type::i16: return as(std::int16_t{});
    case Type::u32: return as(std::uint32_t{});
    case Type::i32: return as(std::int32_t{});
    case Type::f16: return half_value(as(std::uint16_t{}));
    case Type::bf16: {
      const std::uint32_t bits = (std::uint32_t)as(std::uint16_t{}) << 16;
      float f;
      std::memcpy(&f, &bits, 4);
      return f;
    }
    case Type::f32: return as(float{});
    case Type::f64: return as(double{});
  }
  return 0;
}

// Rows, columns and together in memory of any layout, with a margin that nobody may touch.
struct Array {
  std::vector<std::byte> memory;
  Planes planes;

  Array(Type type, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t together) {
    const std::ptrdiff_t size = kf::size_of(type);
    const bool apart = together == 1 && between(0, 4) == 0, upwards = between(0, 5) == 0;
    const std::ptrdiff_t column = size * (apart ? between(1, 3) : together), row = columns * column + between(0, 2) * 8 * size;
    memory.resize((std::size_t)(rows * row + 128 + size * 16));
    for (std::byte& b : memory) b = (std::byte)0xa5;
    std::byte* data = memory.data() + (64 - (std::ptrdiff_t)(reinterpret_cast<std::uintptr_t>(memory.data()) % 64)) % 64 + size * between(0, 2) * 4;
    if (upwards) data += (rows - 1) * row;
    planes = {data, type, 1, rows, columns, 0, upwards ? -row : row, column, together};
  }
  std::byte* at(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t c) const {
    return planes.data + y * planes.row + x * planes.column + c * kf::size_of(planes.type);
  }
  void fill(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t c) const {
    std::byte* p = at(y, x, c);
    const auto put = [p](auto v) { std::memcpy(p, &v, sizeof v); };
    const std::uint32_t bits = (std::uint32_t)random_bits();
    switch (planes.type) {
      case Type::u8:
      case Type::i8: return put((std::uint8_t)bits);
      case Type::u16:
      case Type::i16: return put((std::uint16_t)bits);
      case Type::u32:
      case Type::i32: return put(bits);
      case Type::f16: return put((std::uint16_t)((bits & 0x8fff) | (bits >> 16 & 1) << 13));
      case Type::bf16: return put((std::uint16_t)((bits & 0x80ff) | 0x3f00));
      case Type::f32: return put((float)(uniform() * 510 - 255));
      case Type::f64: return put(uniform() * 510 - 255);
    }
  }
};

template <class S> S step(bool fused, S a, S b, S c) {
  if (fused) return std::fma(a, b, c);
  volatile S product = a * b;
  return product + c;
}

std::ptrdiff_t mapped(std::ptrdiff_t i, std::ptrdiff_t n, Border border) {
  if (border == Border::constant) return i < 0 || i >= n ? -1 : i;
  while (i < 0 || i >= n) {
    if (border == Border::nearest) i = i < 0 ? 0 : n - 1;
    else if (border == Border::wrap) i += i < 0 ? n : -n;
    else if (border == Border::reflect) i = i < 0 ? -1 - i : 2 * n - 1 - i;
    else i = n == 1 ? 0 : i < 0 ? -i : 2 * (n - 1) - i;
  }
  return i;
}

// Sums of every result, by the definition.
template <class S>
std::vector<S> sums_of(const Correlation& k, const Array& image, const Planes& result, bool fused, const std::vector<S>& down,
                       const std::vector<S>& along) {
  const Planes& p = image.planes;
  const std::ptrdiff_t t = p.together, kh = k.rows.size, kw = k.columns.size, wide = result.columns + (kw - 1) * k.columns.dilation;
  const bool narrowed = p.type == Type::f32 || p.type == Type::f16 || p.type == Type::bf16;
  const S cval = narrowed ? (S)(float)k.cval : (S)k.cval;
  std::vector<S> sums((std::size_t)(result.rows * result.columns * t)), middle((std::size_t)wide);
  for (std::ptrdiff_t y = 0; y < result.rows; y++)
    for (std::ptrdiff_t c = 0; c < t; c++)
      for (std::ptrdiff_t term = 0; term < k.terms; term++) {
        for (std::ptrdiff_t j = 0; j < wide; j++) {
          S sum = 0;
          const std::ptrdiff_t column = mapped(j - k.columns.before, p.columns, k.border);
          for (std::ptrdiff_t a = 0; a < kh; a++) {
            const std::ptrdiff_t row = mapped(y + a * k.rows.dilation - k.rows.before, p.rows, k.border);
            const S pixel = row < 0 || column < 0 ? cval : (S)read(p.type, image.at(row, column, c));
            sum = step(fused, down[(std::size_t)(term * kh + a)], pixel, sum);
          }
          middle[(std::size_t)j] = sum;
        }
        for (std::ptrdiff_t x = 0; x < result.columns; x++) {
          S& sum = sums[(std::size_t)((y * result.columns + x) * t + c)];
          for (std::ptrdiff_t b = 0; b < kw; b++) sum = step(fused, along[(std::size_t)(term * kw + b)], middle[(std::size_t)(x + b * k.columns.dilation)], sum);
        }
      }
  return sums;
}

double limit(double v, double low, double high) { return v != v ? 0 : v < low ? low : v > high ? high : v; }

// What a sum is stored as.
template <class S> double stored_as(const Correlation& k, S sum, S bias, Type type) {
  if (type == Type::f64) return k.bias ? sum + bias : sum;
  if (type == Type::f32) return (float)(k.bias ? sum + bias : sum);
  const double v = (sum + bias) * (S)k.scale, whole = k.up ? std::floor((S)v + (S)0.5) : std::nearbyint(v);
  switch (type) {
    case Type::u8: return limit(whole, 0, 255);
    case Type::i8: return limit(whole, -128, 127);
    case Type::u16: return limit(whole, 0, 65535);
    case Type::i16: return limit(whole, -32768, 32767);
    case Type::u32: return limit(whole, 0, 4294967295.0);
    default: return limit(whole, -2147483648.0, 2147483647.0);
  }
}

struct Case {
  Type pixels, results, sums;
  std::ptrdiff_t rows, columns, together, kh, kw, terms;
  Border border;
  bool doubt = false, whole = false;  // whole: weights that are
};

template <class S> void compare(const Table* table, const Case& c, Correlation& k) {
  std::vector<double> down((std::size_t)(c.terms * c.kh)), along((std::size_t)(c.terms * c.kw));
  for (double& w : down) w = c.whole ? (double)between(0, 3) : (uniform() - 0.3) / (double)c.kh;
  for (double& w : along) w = c.whole ? (double)between(0, 3) : (uniform() - 0.3) / (double)c.kw;
  std::vector<float> single_down(down.begin(), down.end()), single_along(along.begin(), along.end());
  const double bias = uniform() * 9 - 4;
  const float single_bias = (float)bias;
  k.down = down.data(), k.along = along.data(), k.single_down = single_down.data(), k.single_along = single_along.data();
  k.terms = c.terms, k.sums = c.sums, k.border = c.border;
  k.rows.size = c.kh, k.columns.size = c.kw;
  if (between(0, 2) == 0) k.bias = &bias, k.single_bias = &single_bias;

  const Array image(c.pixels, c.rows, c.columns, c.together);
  for (std::ptrdiff_t y = 0; y < c.rows; y++)
    for (std::ptrdiff_t x = 0; x < c.columns; x++)
      for (std::ptrdiff_t i = 0; i < c.together; i++) image.fill(y, x, i);
  const std::ptrdiff_t high = between(0, 2) ? c.rows : at_least_one(c.rows + between(-3, 9)), wide = between(0, 2) ? c.columns : at_least_one(c.columns + between(-3, 70));
  const Array result(c.results, high, wide, c.together);

  // Any cut into parts.
  std::vector<std::byte> before = result.memory;
  const std::ptrdiff_t y = between(0, 1) ? 0 : between(0, high), x = between(0, 1) ? 0 : between(0, wide);
  const std::ptrdiff_t rows[] = {0, y, high}, columns[] = {0, x, wide};
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++)
      if (rows[i] < rows[i + 1] && columns[j] < columns[j + 1])
        table->separable(k, image.planes, result.planes, rows[i], rows[i + 1], columns[j], columns[j + 1]);

  std::vector<S> weights_down(down.begin(), down.end()), weights_along(along.begin(), along.end());
  if constexpr (sizeof(S) == 4) weights_down = single_down, weights_along = single_along;
  const std::vector<S> sums = sums_of<S>(k, image, result.planes, table->fused, weights_down, weights_along);
  int wrong = 0;
  for (std::ptrdiff_t r = 0, index = 0; r < high; r++)
    for (std::ptrdiff_t q = 0; q < wide; q++)
      for (std::ptrdiff_t i = 0; i < c.together; i++, index++) {
        const std::byte* p = result.at(r, q, i);
        const double expected = stored_as<S>(k, sums[(std::size_t)index], k.bias ? (S)bias : (S)0, c.results), found = read(c.results, p);
        wrong += std::memcmp(&expected, &found, 8) != 0 && !(expected == 0 && kf::is_integer(c.results) && found == 0) &&
                 !(expected != expected && found != found);
        std::memcpy(before.data() + (p - result.memory.data()), p, (std::size_t)kf::size_of(c.results));
        kf::test::digest(&found, 8);
      }
  if (wrong || before != result.memory) {
    std::ostringstream what;
    what << wrong << " wrong" << (before != result.memory ? ", others touched" : "") << ": types " << (int)c.pixels << " " << (int)c.results
         << " " << (int)c.sums << ", image " << c.rows << " x " << c.columns << " x " << c.together << ", kernel " << c.kh << " x " << c.kw
         << " x " << c.terms << ", border " << (int)c.border << ", before " << k.rows.before << " " << k.columns.before << ", dilation "
         << k.rows.dilation << " " << k.columns.dilation << ", result " << high << " x " << wide << ", cut " << y << " " << x;
    kf::test::fail(__FILE__, __LINE__, what.str());
  }
}

Correlation windows(const Case& c, bool any) {
  Correlation k;
  k.rows = {c.kh, c.kh / 2, 1, 1};
  k.columns = {c.kw, c.kw / 2, 1, 1};
  if (any) {
    k.rows.dilation = one_of({1, 1, 2, 3}), k.columns.dilation = one_of({1, 1, 2, 3});
    k.rows.before = between(-3, c.kh * k.rows.dilation + 2), k.columns.before = between(-3, c.kw * k.columns.dilation + 2);
  }
  k.cval = between(0, 1) ? 0 : uniform() * 20 - 10;
  return k;
}

constexpr int sizes[] = {1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 8, 9, 11, 15, 16, 17, 23, 31, 33, 40, 63};

void random_cases(const Table* table, int n, bool single, bool integers) {
  random_bits.seed(single * 2 + integers + 7);
  for (int i = 0; i < n; i++) {
    Case c;
    c.sums = single ? Type::f32 : Type::f64;
    c.pixels = (Type)between(0, 9);
    if (between(0, 2) == 0) c.pixels = c.sums;
    if (single && (c.pixels == Type::u32 || c.pixels == Type::i32 || c.pixels == Type::f64)) c.pixels = Type::f32;
    c.results = integers ? (Type)between(0, single ? 3 : 5) : between(0, 3) ? c.sums : single ? Type::f64 : Type::f32;
    c.rows = between(1, 40), c.columns = between(0, 3) ? between(1, 90) : between(90, 300);
    c.together = between(0, 2) ? 1 : between(2, 4);
    c.kh = one_of(sizes), c.kw = one_of(sizes), c.terms = between(0, 1) ? 1 : between(2, 3);
    c.border = (Border)between(0, 4);
    Correlation k = windows(c, between(0, 1));
    if (integers && between(0, 2) == 0) k.scale = 0.25, c.whole = true;
    if (integers && between(0, 3) == 0) k.up = true;
    if (single) compare<float>(table, c, k);
    else compare<double>(table, c, k);
  }
}

}  // namespace

TABLE_TEST("separable: float32") { random_cases(table, 400, true, false); }
TABLE_TEST("separable: float64") { random_cases(table, 300, false, false); }
TABLE_TEST("separable: integers of sums in float32") { random_cases(table, 200, true, true); }
TABLE_TEST("separable: integers of sums in float64") { random_cases(table, 200, false, true); }

TABLE_TEST("separable: wide rows, in blocks and strips") {
  random_bits.seed(3);
  for (const std::ptrdiff_t kw : {1, 3, 15, 63, 301})
    for (int border = 0; border < 5; border++) {
      Case c{Type::f32, Type::f32, Type::f32, 11, 2600, 1, kw == 301 ? 70 : 5, kw, 1, (Border)border};
      Correlation k = windows(c, false);
      compare<float>(table, c, k);
      c.pixels = Type::u8, c.columns = 1111, c.together = 3;
      k = windows(c, true);
      compare<float>(table, c, k);
    }
}

TABLE_TEST("separable: windows beyond the image") {
  random_bits.seed(4);
  for (const std::ptrdiff_t before : {-400, -90, 90, 400})
    for (int border = 0; border < 5; border++) {
      Case c{Type::f32, Type::f32, Type::f32, 9, 150, 1, 3, 5, 1, (Border)border};
      Correlation k = windows(c, false);
      k.rows.before = between(0, 1) ? before : 1, k.columns.before = before;
      compare<float>(table, c, k);
    }
}

// Sums in float32 that are in doubt are taken again: results are those of sums in float64.
TABLE_TEST("separable: doubt") {
  random_bits.seed(5);
  for (int i = 0; i < 60; i++) {
    Case c{(Type)between(0, 3), (Type)between(0, 3), Type::f32, between(1, 30), between(1, 200), between(0, 2) ? 1 : 3,
           one_of(sizes), one_of(sizes), between(1, 2), (Border)between(0, 4)};
    Correlation k = windows(c, between(0, 1));
    // Pixels of 8 bits are certain to a thousandth, those of 16 bits to a fifth.
    k.doubt = kf::size_of(c.pixels) == 1 ? 0.498f : 0.3f;
    compare<double>(table, c, k);
  }
}

// Results that are streamed past the caches.
TABLE_TEST("separable: large results") {
  random_bits.seed(6);
  Case c{Type::f32, Type::f32, Type::f32, 520, 8192, 1, 3, 5, 1, Border::reflect};
  Correlation k = windows(c, false);
  compare<float>(table, c, k);
}
