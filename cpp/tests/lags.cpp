// Lag products, and products of windows, against nested loops. Most images hold small whole numbers, whose sums are exact in every type: equal
// results then mean that every element was read once, at its place.
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>
#include <vector>

#include "check.h"

namespace {

using kf::Lags;
using kf::Planes;
using kf::Shifted;
using kf::Table;
using kf::Type;
using std::ptrdiff_t;

const Type types[] = {Type::u8,  Type::i8,  Type::u16,  Type::i16, Type::u32,
                      Type::i32, Type::f16, Type::bf16, Type::f32, Type::f64};

std::uint32_t seed = 1;
std::uint32_t random_bits() {
  seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
  return seed;
}
int random_below(int n) { return (int)(random_bits() % (std::uint32_t)n); }

// The bits of numbers that float16 and bfloat16 hold: whole and below 128, infinite, or NaN.
std::uint16_t half_bits(double x, int fraction, int bias) {
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0, special = (std::uint16_t)(0x7fff >> fraction << fraction);
  if (std::isnan(x)) return (std::uint16_t)(special | 1);
  if (std::isinf(x)) return sign | special;
  if (x == 0) return sign;
  int exponent;
  const double significand = std::frexp(std::fabs(x), &exponent) * 2 - 1;
  return (std::uint16_t)(sign | (exponent - 1 + bias) << fraction | (int)std::ldexp(significand, fraction));
}

void put(std::byte* to, Type type, double x) {
  const auto as = [to](auto v) { std::memcpy(to, &v, sizeof v); };
  switch (type) {
    case Type::u8: return as((std::uint8_t)x);
    case Type::i8: return as((std::int8_t)x);
    case Type::u16: return as((std::uint16_t)x);
    case Type::i16: return as((std::int16_t)x);
    case Type::u32: return as((std::uint32_t)x);
    case Type::i32: return as((std::int32_t)x);
    case Type::f16: return as(half_bits(x, 10, 15));
    case Type::bf16: return as(half_bits(x, 7, 127));
    case Type::f32: return as((float)x);
    case Type::f64: return as(x);
  }
}

// An image whose memory ends where its last element does, and its numbers. Elements lie `apart` elements from each
// other, rows that of the columns and `gap` elements; with `reversed` the last row comes first.
struct Image {
  ptrdiff_t rows, columns;
  std::vector<double> numbers;
  std::vector<std::byte> memory;
  Planes planes;

  Image(Type type, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t apart = 1, ptrdiff_t gap = 0, bool reversed = false)
      : rows(rows), columns(columns), numbers((std::size_t)(rows * columns)) {
    const ptrdiff_t size = kf::size_of(type), column = apart * size, row = columns * column + gap * size;
    memory.assign((std::size_t)((rows - 1) * row + (columns - 1) * column + size), std::byte{0xff});
    std::byte* const first = memory.data() + (reversed ? (rows - 1) * row : 0);
    planes = {first, type, 1, rows, columns, 0, reversed ? -row : row, column};
  }
  double& at(ptrdiff_t y, ptrdiff_t x) { return numbers[(std::size_t)(y * columns + x)]; }
  double at(ptrdiff_t y, ptrdiff_t x) const { return numbers[(std::size_t)(y * columns + x)]; }
  template <class F> Image& fill(F number) {
    for (ptrdiff_t y = 0; y < rows; ++y)
      for (ptrdiff_t x = 0; x < columns; ++x) set(y, x, number(y, x));
    return *this;
  }
  void set(ptrdiff_t y, ptrdiff_t x, double number) {
    at(y, x) = number;
    put(planes.data + y * planes.row + x * planes.column, planes.type, number);
  }
  Image& fill_small() {
    const bool negative = planes.type != Type::u8 && planes.type != Type::u16 && planes.type != Type::u32;
    return fill([=](ptrdiff_t, ptrdiff_t) { return random_below(8) - (negative ? 4 : 0); });
  }
};

// Anchors and the image they meet, of the size the lags need.
struct Pair {
  Image a, b;
  Shifted anchors, around;
  Lags job;
  Pair(Type a_type, Type b_type, ptrdiff_t height, ptrdiff_t width, ptrdiff_t rows, ptrdiff_t columns,
       ptrdiff_t apart = 1, ptrdiff_t gap = 0, bool reversed = false)
      : a(a_type, height, width, apart, gap, reversed),
        b(b_type, height + rows - 1, width + columns - 1, apart, gap, reversed),
        anchors{a.planes}, around{b.planes}, job{&anchors, &around, 1, 1, rows, columns} {}
  Pair(const Pair&) = delete;
};

std::vector<double> expected(const Pair& pair, ptrdiff_t first, ptrdiff_t last) {
  const Lags& job = pair.job;
  std::vector<double> sums;
  for (ptrdiff_t r = 0; r < job.rows; ++r)
    for (ptrdiff_t c = 0; c < job.columns; ++c) {
      double sum = 0;
      for (ptrdiff_t y = first; y < last; ++y)
        for (ptrdiff_t x = 0; x < pair.a.columns; ++x)
          sum += (pair.a.at(y, x) - pair.anchors.shift) * (pair.b.at(y + r, x + c) - pair.around.shift);
      sums.push_back(sum);
    }
  return sums;
}

bool same(double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); }

// Compares the sums of rows [first, last), added to what is there, over the given cuts.
void check(const Table& table, const Pair& pair, std::vector<ptrdiff_t> cuts = {}) {
  const Lags& job = pair.job;
  if (cuts.empty()) cuts = {0, pair.a.rows};
  std::vector<double> sums((std::size_t)(job.rows * job.columns + 2), 1000);
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) table.lags(job, cuts[i], cuts[i + 1], sums.data() + 1);
  const std::vector<double> wanted = expected(pair, cuts.front(), cuts.back());
  CHECK(sums.front() == 1000 && sums.back() == 1000);
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!same(sums[i + 1], 1000 + wanted[i])) {
      std::ostringstream what;
      what << "types " << (int)pair.a.planes.type << " and " << (int)pair.b.planes.type << ", " << pair.a.rows << " x "
           << pair.a.columns << ", lag " << (ptrdiff_t)i / job.columns << " " << (ptrdiff_t)i % job.columns << " of "
           << job.rows << " x " << job.columns << ": " << sums[i + 1] - 1000 << ", expected " << wanted[i];
      kf::test::fail(__FILE__, __LINE__, what.str());
      return;
    }
}

struct Size {
  ptrdiff_t height, width, rows, columns;
};

}  // namespace

TABLE_TEST("lags: types, strides and shifts") {
  for (const Type a : types)
    for (const Type b : types)
      for (int layout = 0; layout < 3; ++layout) {
        Pair pair(a, b, 19, 37, 4, 7, layout == 1 ? 3 : 1, layout == 2 ? 5 : layout, layout == 2);
        pair.a.fill_small(), pair.b.fill_small();
        check(*table, pair);
        pair.anchors.shift = 3, check(*table, pair);
        pair.around.shift = 2, check(*table, pair);
        pair.anchors.shift = -0.5, check(*table, pair);
        pair.anchors.shift = 0, pair.around.shift = 300, check(*table, pair);
      }
}

TABLE_TEST("lags: sizes of images and windows") {
  const Size sizes[] = {{1, 1, 1, 1},     {1, 1, 9, 5},     {1, 7, 3, 3},    {2, 3, 15, 29},   {1, 300, 15, 29},
                        {5, 8, 5, 9},     {9, 64, 7, 13},   {33, 65, 3, 3},  {64, 128, 1, 1},  {65, 127, 2, 2},
                        {70, 17, 1, 29},  {17, 70, 21, 1},  {40, 40, 10, 4}, {12, 11, 70, 3},  {7, 20, 3, 130},
                        {3, 1100, 9, 17}, {131, 1000, 2, 3}, {130, 1, 8, 2}, {6, 513, 66, 67}, {100, 31, 11, 21}};
  for (const Size& s : sizes) {
    for (const Type type : {Type::u8, Type::f32, Type::f64, Type::i16}) {
      Pair pair(type, type, s.height, s.width, s.rows, s.columns);
      pair.a.fill_small(), pair.b.fill_small();
      check(*table, pair);
      pair.job.single = true, check(*table, pair);
    }
  }
}

TABLE_TEST("lags: every width and height up to some registers") {
  for (ptrdiff_t n = 1; n <= 140; ++n)
    for (const Type type : {Type::u8, Type::f32, Type::f64}) {
      Pair wide(type, type, 3, n, 3, 4), tall(type, type, n, 5, 4, 2);
      for (Pair* pair : {&wide, &tall}) {
        pair->a.fill_small(), pair->b.fill_small();
        check(*table, *pair);
        pair->job.single = true, check(*table, *pair);
      }
    }
}

TABLE_TEST("lags: every window up to some tiles") {
  for (ptrdiff_t rows = 1; rows <= 22; ++rows)
    for (ptrdiff_t columns = 1; columns <= 8; ++columns)
      for (const Type type : {Type::u8, Type::f64}) {
        Pair pair(type, type, 11, 21, rows, columns);
        pair.a.fill_small(), pair.b.fill_small();
        pair.anchors.shift = 2, check(*table, pair);
      }
}

TABLE_TEST("lags: cuts of the rows") {
  for (const Type type : {Type::u8, Type::i8, Type::f32}) {
    Pair pair(type, type, 150, 45, 5, 9);
    pair.a.fill_small(), pair.b.fill_small();
    for (const double shift : {0., 3.}) {
      pair.anchors.shift = shift, pair.job.single = shift == 0;
      for (const std::vector<ptrdiff_t>& cuts : std::vector<std::vector<ptrdiff_t>>{
               {0, 1, 2, 3, 150}, {0, 64, 128, 150}, {0, 31, 33, 149, 150}, {7, 120}, {149, 150}, {20, 20, 20}})
        check(*table, pair, cuts);
    }
  }
}

TABLE_TEST("lags: bytes are exact to the ends of their range") {
  for (const Size& s : {Size{131, 1000, 3, 2}, Size{67, 2100, 8, 3}, Size{300, 1100, 2, 1}})
    for (const int kind : {0, 1, 2, 3}) {
      Pair pair(Type::u8, Type::u8, s.height, s.width, s.rows, s.columns);
      pair.a.fill([=](ptrdiff_t, ptrdiff_t) { return kind == 3 ? random_below(256) : kind == 2 ? 0 : 255; });
      pair.b.fill([=](ptrdiff_t, ptrdiff_t) { return kind == 3 ? random_below(256) : kind == 1 ? 0 : 255; });
      for (const double a_shift : {0., 1., 255.})
        for (const double b_shift : {0., 128., 255.}) {
          pair.anchors.shift = a_shift, pair.around.shift = b_shift;
          check(*table, pair);
        }
    }
}

TABLE_TEST("lags: rounded sums") {
  for (const Type type : {Type::f32, Type::f64})
    for (const bool single : {false, true}) {
      Pair pair(type, type, 70, 1001, 4, 5);
      const auto number = [](ptrdiff_t, ptrdiff_t) { return (double)((float)random_bits() * 0x1p-32f - 0.25f); };
      pair.a.fill(number), pair.b.fill(number);
      pair.job.single = single;
      if (!single) pair.anchors.shift = 0.3, pair.around.shift = -0.1;
      std::vector<double> sums((std::size_t)(pair.job.rows * pair.job.columns));
      table->lags(pair.job, 0, pair.a.rows, sums.data());
      const double unit = single && type == Type::f32 ? 0x1p-24 : 0x1p-53;
      for (ptrdiff_t r = 0; r < pair.job.rows; ++r)
        for (ptrdiff_t c = 0; c < pair.job.columns; ++c) {
          // The exact sum but for the second power of the unit: products and sums with what rounding took from them.
          double sum = 0, rest = 0, size = 0;
          for (ptrdiff_t y = 0; y < pair.a.rows; ++y)
            for (ptrdiff_t x = 0; x < pair.a.columns; ++x) {
              const double p = pair.a.at(y, x) - pair.anchors.shift, q = pair.b.at(y + r, x + c) - pair.around.shift;
              const double product = p * q, t = sum + product, back = t - sum;
              rest += std::fma(p, q, -product) + (sum - (t - back)) + (product - back);
              sum = t, size += std::fabs(product);
            }
          const double steps = 70 * 1001;  // more than any lane takes
          CHECK(std::fabs(sums[(std::size_t)(r * pair.job.columns + c)] - (sum + rest)) <= steps * unit * size);
        }
    }
}

TABLE_TEST("lags: NaN and infinities reach their own sums") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  for (const Type type : {Type::f16, Type::bf16, Type::f32, Type::f64})
    for (const Size& s : {Size{5, 37, 3, 4}, Size{37, 16, 9, 5}, Size{3, 600, 2, 7}, Size{70, 3, 1, 3},
                          Size{1, 1, 4, 4}})
      for (int round = 0; round < 24; ++round) {
        Pair pair(type, type, s.height, s.width, s.rows, s.columns);
        pair.a.fill_small(), pair.b.fill_small();
        const double what = round % 3 == 0 ? nan : round % 3 == 1 ? inf : -inf;
        Image& to = round % 4 == 3 ? pair.a : pair.b;
        // Ends and corners first: there it must not meet what stands for elements that are not.
        const ptrdiff_t y = round < 8 ? (round & 1 ? to.rows - 1 : 0) : random_below((int)to.rows);
        const ptrdiff_t x = round < 8 ? (round & 2 ? to.columns - 1 : 0) : random_below((int)to.columns);
        to.set(y, x, what);
        if (round % 5 == 4) to.set(random_below((int)to.rows), random_below((int)to.columns), -inf);
        for (const bool single : {false, true}) {
          pair.job.single = single;
          pair.anchors.shift = single ? 0 : 1;
          check(*table, pair);
          check(*table, pair, {0, s.height / 2, s.height});
        }
      }
}

TABLE_TEST("lags: of several planes each sum is that of two") {
  for (const Type type : {Type::u8, Type::i16, Type::f32, Type::f64})
    for (const Size& s : {Size{70, 150, 5, 5}, Size{33, 1100, 3, 9}, Size{7, 20, 3, 70}, Size{5, 37, 66, 2}}) {
      const ptrdiff_t height = s.height + s.rows - 1, width = s.width + s.columns - 1, lags = s.rows * s.columns;
      std::vector<Image> images;
      for (int i = 0; i < 3; ++i) images.emplace_back(type, s.height, s.width, 1 + i % 2, i).fill_small();
      for (int i = 0; i < 2; ++i) images.emplace_back(type, height, width, 2 - i % 2, i).fill_small();
      const double nan = std::numeric_limits<double>::quiet_NaN();
      if (type == Type::f32 || type == Type::f64) images[4].set(height - 1, width - 1, nan), images[1].set(0, 1, nan);
      Shifted planes[5];
      for (int i = 0; i < 5; ++i) planes[i] = {images[(std::size_t)i].planes, i == 2 ? 0. : 2. * i};
      for (const bool single : {false, true}) {
        if (single)
          for (Shifted& one : planes) one.shift = 0;
        std::vector<double> sums((std::size_t)(6 * lags)), wanted(sums);
        const Lags job{planes, planes + 3, 3, 2, s.rows, s.columns, single};
        table->lags(job, 0, s.height / 2, sums.data());
        table->lags(job, s.height / 2, s.height, sums.data());
        for (std::size_t i = 0; i < 3; ++i)
          for (std::size_t j = 0; j < 2; ++j)
            for (ptrdiff_t k = 0; k < lags; ++k)
              for (ptrdiff_t y = 0; y < s.height; ++y)
                for (ptrdiff_t x = 0; x < s.width; ++x)
                  wanted[(i * 2 + j) * (std::size_t)lags + (std::size_t)k] +=
                      (images[i].at(y, x) - planes[i].shift) *
                      (images[3 + j].at(y + k / s.columns, x + k % s.columns) - planes[3 + j].shift);
        for (std::size_t i = 0; i < sums.size(); ++i) CHECK(same(sums[i], wanted[i]));
      }
    }
}

TABLE_TEST("windows: of several planes, one after the other") {
  for (const Type type : {Type::u8, Type::u16, Type::f32}) {
    const ptrdiff_t p = 6, q = 3 * p + 2;
    std::vector<Image> images;
    for (int i = 0; i < 3; ++i) images.emplace_back(type, 41, 52, 1 + i % 2, i).fill_small();
    Image after(type, 40, 50);
    after.fill_small();
    const Shifted before[] = {{images[0].planes, 1}, {images[1].planes, 0}, {images[2].planes, 3}};
    std::vector<std::byte> chosen(40 * 50);
    for (std::byte& one : chosen) one = (std::byte)(random_below(3) == 0);
    const kf::Windows job{before, 3, {after.planes, 2}, chosen.data(), 2, 3};
    std::vector<double> sums((std::size_t)(q * q)), wanted(sums), z((std::size_t)q, 1);
    table->windows(job, 0, 17, sums.data());
    table->windows(job, 17, 40, sums.data());
    for (ptrdiff_t y = 0; y < 40; ++y)
      for (ptrdiff_t x = 0; x < 50; ++x) {
        if (chosen[(std::size_t)(y * 50 + x)] == std::byte{0}) continue;
        for (ptrdiff_t i = 0; i < 3 * p; ++i)
          z[(std::size_t)i] = images[(std::size_t)(i / p)].at(y + i % p / 3, x + i % 3) - before[i / p].shift;
        z[(std::size_t)(q - 1)] = after.at(y, x) - 2;
        for (ptrdiff_t i = 0; i < q; ++i)
          for (ptrdiff_t j = i; j < q; ++j) wanted[(std::size_t)(i * q + j)] += z[(std::size_t)i] * z[(std::size_t)j];
      }
    CHECK(sums == wanted);
  }
}

TABLE_TEST("windows: types, sizes, positions and cuts") {
  for (Type before_type : types)
    for (Type after_type : {Type::u8, Type::f32, before_type})
      for (Size size : {Size{1, 1, 1, 1}, Size{5, 70, 3, 3}, Size{9, 33, 1, 4}, Size{30, 41, 5, 2}, Size{64, 90, 2, 3}})
        for (int share : {0, 1, 50, 100}) {
          Pair pair(after_type, before_type, size.height, size.width, size.rows, size.columns, 1 + share % 2, share % 3);
          pair.a.fill_small(), pair.b.fill_small();
          std::vector<std::byte> chosen((std::size_t)(size.height * size.width));
          for (std::byte& one : chosen) one = (std::byte)(random_below(100) < share);
          const double shift = share == 1 ? 2.5 : 3;
          const Shifted before{pair.b.planes, shift};
          const kf::Windows job{&before, 1, {pair.a.planes, 5}, chosen.data(), size.rows, size.columns};
          const ptrdiff_t p = size.rows * size.columns, q = p + 2, middle = random_below((int)size.height + 1);
          std::vector<double> sums((std::size_t)(q * q)), wanted(sums), z((std::size_t)q, 1);
          table->windows(job, 0, middle, sums.data());
          table->windows(job, middle, size.height, sums.data());
          for (ptrdiff_t y = 0; y < size.height; ++y)
            for (ptrdiff_t x = 0; x < size.width; ++x) {
              if (chosen[(std::size_t)(y * size.width + x)] == std::byte{0}) continue;
              for (ptrdiff_t i = 0; i < p; ++i)
                z[(std::size_t)i] = pair.b.at(y + i / size.columns, x + i % size.columns) - shift;
              z[(std::size_t)(p + 1)] = pair.a.at(y, x) - 5;
              for (ptrdiff_t i = 0; i < q; ++i)
                for (ptrdiff_t j = i; j < q; ++j)
                  wanted[(std::size_t)(i * q + j)] += z[(std::size_t)i] * z[(std::size_t)j];
            }
          CHECK(sums == wanted);
        }
}

TABLE_TEST("windows: bytes are exact to the ends of their range") {
  for (double value : {0.0, 255.0}) {
    Pair pair(Type::u8, Type::u8, 40, 300, 2, 2);
    const auto same = [=](ptrdiff_t, ptrdiff_t) { return value; };
    pair.a.fill(same), pair.b.fill(same);
    const std::vector<std::byte> chosen(40 * 300, std::byte{1});
    const double shift = 255 - value;
    const Shifted before{pair.b.planes, shift};
    const kf::Windows job{&before, 1, {pair.a.planes, shift}, chosen.data(), 2, 2};
    std::vector<double> sums(36);
    table->windows(job, 0, 40, sums.data());
    CHECK(sums[0] == 255.0 * 255 * 40 * 300);
    CHECK(sums[3 * 6 + 5] == 255.0 * 255 * 40 * 300);
  }
}
