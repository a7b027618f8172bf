// Sliding products against nested loops that take one product after the other: all bits must be equal.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "../correlation.h"
#include "check.h"

namespace {

using namespace kf;
using std::ptrdiff_t;

std::uint32_t state = 1;
std::uint32_t random_bits() {
  state ^= state << 13, state ^= state >> 17, state ^= state << 5;
  return state;
}
double random_number() { return (double)random_bits() * 0x1p-32 - 0.4; }

template <class T> void put(std::byte* to, T value) { std::memcpy(to, &value, sizeof value); }

// The number that a pixel of a type becomes, written where it is told; small enough for every type.
double write_pixel(std::byte* to, Type type) {
  const int whole = (int)(random_bits() % 120);
  const double real = random_number() * 100;
  switch (type) {
    case Type::u8: return put(to, (std::uint8_t)(2 * whole)), 2 * whole;
    case Type::i8: return put(to, (std::int8_t)(whole - 60)), whole - 60;
    case Type::u16: return put(to, (std::uint16_t)(500 * whole)), 500 * whole;
    case Type::i16: return put(to, (std::int16_t)(250 * (whole - 60))), 250 * (whole - 60);
    case Type::u32: return put(to, (std::uint32_t)(20011u * (unsigned)whole)), 20011.0 * whole;
    case Type::i32: return put(to, (std::int32_t)(20011 * (whole - 60))), 20011.0 * (whole - 60);
    case Type::f16: {
      // A half of 11 significant bits: 1.m × 2^e.
      const std::uint16_t bits = (std::uint16_t)((random_bits() & 0x83ff) | ((10 + random_bits() % 12) << 10));
      put(to, bits);
      const double size = std::ldexp(1 + (bits & 0x3ff) / 1024.0, (bits >> 10 & 31) - 15);
      return bits & 0x8000 ? -size : size;
    }
    case Type::bf16: {
      const float f = (float)real;
      std::uint32_t bits;
      std::memcpy(&bits, &f, 4);
      bits &= 0xffff0000u;
      put(to, (std::uint16_t)(bits >> 16));
      float g;
      std::memcpy(&g, &bits, 4);
      return g;
    }
    case Type::f32: return put(to, (float)real), (float)real;
    case Type::f64: return put(to, real), real;
  }
  return 0;
}

// The place that a position reads, found step by step; -1 for the constant.
ptrdiff_t walk(ptrdiff_t i, ptrdiff_t n, Border border) {
  while (i < 0 || i >= n) {
    if (border == Border::constant) return -1;
    if (border == Border::nearest) return i < 0 ? 0 : n - 1;
    if (border == Border::wrap) i += i < 0 ? n : -n;
    else if (border == Border::reflect) i = i < 0 ? -1 - i : 2 * n - 1 - i;
    else if (n == 1) return 0;
    else i = i < 0 ? -i : 2 * (n - 1) - i;
  }
  return i;
}

struct Case {
  Type pixels = Type::f32, results = Type::f32, sums = Type::f32;
  ptrdiff_t height = 20, width = 30, rows = 0, columns = 0;  // of the image, of the results (0: as the image)
  ptrdiff_t kh = 3, kw = 3, channels = 1, outputs = 1, groups = 1, together = 1;
  ptrdiff_t stride[2] = {1, 1}, dilation[2] = {1, 1}, before[2] = {1, 1};
  Border border = Border::reflect;
  double cval = 0;
  bool bias = false, spread = false;  // spread: no two elements side by side, rows from the bottom up
  int cuts = 1;
};

template <class S> S step(bool fused, S weight, S pixel, S sum) {
  if (fused) return std::fma(weight, pixel, sum);
  volatile S product = weight * pixel;
  return product + sum;
}

template <class S> void run_case(const Table* table, const Case& c) {
  const ptrdiff_t rows = c.rows ? c.rows : c.height, columns = c.columns ? c.columns : c.width, t = c.together;
  const ptrdiff_t all = c.channels * c.groups, size = size_of(c.pixels), out_size = size_of(c.results);
  const ptrdiff_t gap = c.spread ? 3 : 1;
  std::vector<std::byte> image((std::size_t)(all * c.height * c.width * t * gap * size)), result((std::size_t)(c.outputs * rows * columns * t * gap * out_size));
  std::vector<double> numbers((std::size_t)(all * c.height * c.width * t));
  Planes from{image.data(), c.pixels, all, c.height, c.width, c.height * c.width * t * gap * size, c.width * t * gap * size, t * gap * size, t};
  Planes to{result.data(), c.results, c.outputs, rows, columns, rows * columns * t * gap * out_size, columns * t * gap * out_size, t * gap * out_size, t};
  if (c.spread) {
    from.data += (c.height - 1) * from.row;
    from.row = -from.row;
  }
  auto number = [&](ptrdiff_t ch, ptrdiff_t y, ptrdiff_t x, ptrdiff_t e) -> double& {
    return numbers[(std::size_t)(((ch * c.height + y) * c.width + x) * t + e)];
  };
  for (ptrdiff_t ch = 0; ch < all; ch++)
    for (ptrdiff_t y = 0; y < c.height; y++)
      for (ptrdiff_t x = 0; x < c.width; x++)
        for (ptrdiff_t e = 0; e < t; e++)
          number(ch, y, x, e) = write_pixel(from.data + ch * from.channel + y * from.row + x * from.column + e * size, c.pixels);

  std::vector<double> weights((std::size_t)(c.outputs * c.channels * c.kh * c.kw)), bias((std::size_t)c.outputs);
  for (double& w : weights) w = random_number();
  for (double& b : bias) b = random_number() * 50;
  std::vector<float> single(weights.begin(), weights.end()), single_bias(bias.begin(), bias.end());
  Correlation job;
  job.rows = {c.kh, c.before[0], c.stride[0], c.dilation[0]};
  job.columns = {c.kw, c.before[1], c.stride[1], c.dilation[1]};
  job.border = c.border;
  job.cval = c.cval;
  job.outputs = c.outputs;
  job.channels = c.channels;
  job.groups = c.groups;
  job.weights = weights.data();
  job.single_weights = single.data();
  if (c.bias) {
    job.bias = bias.data();
    job.single_bias = single_bias.data();
  }
  job.sums = c.sums;
  const ptrdiff_t high = (rows + c.cuts - 1) / c.cuts, wide = (columns + c.cuts - 1) / c.cuts;
  for (ptrdiff_t y = 0; y < rows; y += high)
    for (ptrdiff_t x = 0; x < columns; x += wide)
      table->direct(job, from, to, y, std::min(y + high, rows), x, std::min(x + wide, columns));

  const bool narrowed = c.pixels == Type::f32 || c.pixels == Type::f16 || c.pixels == Type::bf16;
  const S cval = narrowed ? (S)(float)c.cval : (S)c.cval;
  ptrdiff_t wrong = 0;
  std::vector<S> found;
  for (ptrdiff_t o = 0; o < c.outputs; o++)
    for (ptrdiff_t y = 0; y < rows; y++)
      for (ptrdiff_t x = 0; x < columns; x++)
        for (ptrdiff_t e = 0; e < t; e++) {
          S sum = 0;
          for (ptrdiff_t ch = 0; ch < c.channels; ch++)
            for (ptrdiff_t a = 0; a < c.kh; a++)
              for (ptrdiff_t b = 0; b < c.kw; b++) {
                const ptrdiff_t i = walk(y * c.stride[0] + a * c.dilation[0] - c.before[0], c.height, c.border);
                const ptrdiff_t j = walk(x * c.stride[1] + b * c.dilation[1] - c.before[1], c.width, c.border);
                const S pixel = i < 0 || j < 0 ? cval : (S)number(o / (c.outputs / c.groups) * c.channels + ch, i, j, e);
                sum = step<S>(table->fused, (S)weights[(std::size_t)(((o * c.channels + ch) * c.kh + a) * c.kw + b)], pixel, sum);
              }
          if (c.bias) sum += (S)bias[(std::size_t)o];
          const std::byte* at = to.data + o * to.channel + y * to.row + x * to.column + e * out_size;
          if (is_integer(c.results)) {
            const double low = c.results == Type::u8 || c.results == Type::u16 ? 0 : c.results == Type::i16 ? -32768 : c.results == Type::i8 ? -128 : -2147483648.0;
            const double most = c.results == Type::u8 ? 255 : c.results == Type::u16 ? 65535 : c.results == Type::i16 ? 32767 : c.results == Type::i8 ? 127 : 2147483647.0;
            const std::int64_t expected = (std::int64_t)std::nearbyint(std::clamp((double)sum, low, most));
            std::int64_t got = 0;
            if (c.results == Type::u8) got = *(const std::uint8_t*)at;
            if (c.results == Type::i8) got = *(const std::int8_t*)at;
            if (c.results == Type::u16) got = *(const std::uint16_t*)at;
            if (c.results == Type::i16) got = *(const std::int16_t*)at;
            if (c.results == Type::i32) got = *(const std::int32_t*)at;
            wrong += got != expected;
            found.push_back((S)got);
          } else if (c.results == Type::f32) {
            float got;
            std::memcpy(&got, at, 4);
            wrong += !(got == (float)sum && std::signbit(got) == std::signbit((float)sum));
            found.push_back((S)got);
          } else {
            double got;
            std::memcpy(&got, at, 8);
            wrong += !(got == (double)sum && std::signbit(got) == std::signbit((double)sum));
            found.push_back((S)got);
          }
        }
  test::digest(found.data(), found.size() * sizeof(S));
  if (wrong)
    test::fail(__FILE__, __LINE__, std::to_string(wrong) + " wrong of " + std::to_string(found.size()) + ": " + std::to_string(c.height) + "x" + std::to_string(c.width) + " kernel " + std::to_string(c.kh) + "x" + std::to_string(c.kw) + " pixels " + std::to_string((int)c.pixels) + " results " + std::to_string((int)c.results) + " border " + std::to_string((int)c.border) + " together " + std::to_string(t) + " outputs " + std::to_string(c.outputs) + " channels " + std::to_string(c.channels) + " stride " + std::to_string(c.stride[1]) + " dilation " + std::to_string(c.dilation[1]));
}
void check_case(const Table* table, const Case& c) {
  if (c.sums == Type::f32) run_case<float>(table, c);
  else run_case<double>(table, c);
}

const Border borders[] = {Border::constant, Border::nearest, Border::reflect, Border::mirror, Border::wrap};

TABLE_TEST("direct: sizes of images and kernels") {
  state = 1;
  int index = 0;
  for (auto [h, w] : {std::pair<int, int>{1, 1}, {1, 7}, {6, 8}, {9, 33}, {37, 53}, {20, 200}, {200, 3}, {3, 700}})
    for (auto [kh, kw] : {std::pair<int, int>{1, 1}, {1, 2}, {2, 1}, {3, 3}, {2, 5}, {4, 4}, {5, 5}, {7, 7}, {9, 3}, {1, 15}, {15, 1}, {13, 13}})
      for (Type sums : {Type::f32, Type::f64}) {
        Case c;
        c.height = h, c.width = w, c.kh = kh, c.kw = kw, c.before[0] = kh / 2, c.before[1] = kw / 2;
        c.pixels = c.results = c.sums = sums;
        c.border = borders[index++ % 5];
        c.cval = 3.7;
        c.cuts = 1 + index % 3;
        check_case(table, c);
      }
}

TABLE_TEST("direct: types of pixels and results, and where they lie") {
  state = 2;
  int index = 0;
  for (Type pixels : {Type::u8, Type::i8, Type::u16, Type::i16, Type::u32, Type::i32, Type::f16, Type::bf16, Type::f32, Type::f64})
    for (Type results : {Type::f32, Type::f64, Type::u8, Type::i8, Type::u16, Type::i16, Type::i32})
      for (int way = 0; way < 3; way++) {
        Case c;
        c.pixels = pixels, c.results = results;
        c.sums = results == Type::f32 && way != 1 ? Type::f32 : Type::f64;
        c.height = 13, c.width = 70, c.kh = 3 + index % 3, c.kw = 4;
        c.border = borders[index++ % 5];
        c.cval = 5;
        c.spread = way == 1;
        c.together = way == 2 ? 3 : 1;
        c.bias = index % 2;
        check_case(table, c);
      }
}

TABLE_TEST("direct: windows that begin inside, end far outside, or reach around more than once") {
  state = 3;
  for (Border border : borders)
    for (ptrdiff_t before : {-9, -2, 0, 5, 40})
      for (ptrdiff_t together : {1, 3, 4}) {
        Case c;
        c.height = 11, c.width = 17, c.rows = 26, c.columns = 41, c.kh = 5, c.kw = 7;
        c.before[0] = before, c.before[1] = before - 3;
        c.border = border, c.cval = -1.25, c.together = together;
        check_case(table, c);
        c.pixels = Type::u8;
        check_case(table, c);
      }
}

TABLE_TEST("direct: layers") {
  state = 4;
  for (ptrdiff_t outputs : {1, 2, 3, 4, 6})
    for (ptrdiff_t channels : {1, 3})
      for (ptrdiff_t groups : {1, 2})
        for (auto [stride, dilation] : {std::pair<int, int>{1, 1}, {2, 1}, {1, 3}, {3, 2}, {4, 4}})
          for (ptrdiff_t width : {9, 150}) {
            Case c;
            c.outputs = outputs * groups, c.channels = channels, c.groups = groups;
            c.height = 19, c.width = width;
            c.kh = 3, c.kw = 2;
            c.stride[0] = c.stride[1] = stride;
            c.dilation[0] = dilation, c.dilation[1] = dilation + 1;
            c.before[0] = 2, c.before[1] = 3;
            c.rows = (19 + stride - 1) / stride, c.columns = (width + stride - 1) / stride;
            c.border = outputs % 2 ? Border::constant : Border::mirror;
            c.bias = true;
            c.sums = c.results = channels == 3 && width == 9 ? Type::f64 : Type::f32;
            check_case(table, c);
          }
}

TABLE_TEST("direct: squares over images of many rows, and banks of them") {
  state = 6;
  int index = 0;
  for (ptrdiff_t k : {3, 5, 7, 8})
    for (ptrdiff_t height : {24, 41, 90})
      for (ptrdiff_t together : {1, 3})
        for (Type pixels : {Type::f32, Type::u8, Type::f64}) {
          Case c;
          c.height = height, c.width = 700 / together, c.kh = c.kw = k, c.before[0] = k / 2, c.before[1] = k / 2 + index % 2;
          c.pixels = pixels, c.together = together, c.border = borders[index % 5], c.cval = 2, c.cuts = 1 + index % 2;
          c.sums = c.results = pixels == Type::f64 ? Type::f64 : Type::f32;
          c.outputs = together == 1 ? 1 + index % 3 : 1;
          c.bias = index % 2, c.spread = index % 4 == 3 && together == 1;
          if (index++ % 3 == 0) c.results = Type::i16, c.sums = Type::f64;
          check_case(table, c);
        }
}

// What `Ready` decides about sums must not be seen in integers.
TABLE_TEST("integers are those of float64 sums") {
  CHECK(kf::use(table->name));
  state = 5;
  enum { whole, quarters, any, mean, kinds };
  for (int kind = 0; kind < kinds; kind++)
    for (ptrdiff_t k : {3, 5, 8, 15})
      for (bool factored : {false, true}) {
        const ptrdiff_t h = 60, w = 130;
        std::vector<std::uint8_t> image((std::size_t)(h * w)), out(image.size());
        for (auto& p : image) p = (std::uint8_t)random_bits();
        std::vector<double> down((std::size_t)k), along((std::size_t)k), weights;
        for (auto* line : {&down, &along})
          for (double& x : *line) x = kind == whole ? 1 + random_bits() % 5 : kind == quarters ? (random_bits() % 9) * 0.25 : kind == any ? random_number() / (double)k : 1 / (double)k;
        for (double a : down)
          for (double b : along) weights.push_back(a * b);
        Options options;
        options.weights = weights;
        if (factored) options.down = down, options.along = along, options.job.terms = 1;
        options.job.rows = options.job.columns = {k, k / 2, 1, 1};
        options.bias = {kind == quarters ? 3.5 : 0.3};
        const double bias = options.bias[0];
        const Ready ready(std::move(options));
        const Array from{(std::byte*)image.data(), Type::u8, 2, {h, w}, {w, 1}}, to{(std::byte*)out.data(), Type::u8, 2, {h, w}, {w, 1}};
        CHECK(ready.refuses(from, to) == nullptr);
        CHECK(ready.run(from, to, nullptr));
        ptrdiff_t wrong = 0;
        for (ptrdiff_t y = 0; y < h; y++)
          for (ptrdiff_t x = 0; x < w; x++) {
            auto pixel = [&](ptrdiff_t a, ptrdiff_t b) {
              return (double)image[(std::size_t)(walk(y + a - k / 2, h, Border::reflect) * w + walk(x + b - k / 2, w, Border::reflect))];
            };
            double sum = 0;
            for (ptrdiff_t i = 0; i < k; i++) {
              double column = 0;
              for (ptrdiff_t j = 0; j < k; j++) {
                if (factored) column = step<double>(table->fused, down[(std::size_t)j], pixel(j, i), column);
                else sum = step<double>(table->fused, weights[(std::size_t)(i * k + j)], pixel(i, j), sum);
              }
              if (factored) sum = step<double>(table->fused, along[(std::size_t)i], column, sum);
            }
            wrong += (double)out[(std::size_t)(y * w + x)] != std::nearbyint(std::clamp(sum + bias, 0.0, 255.0));
          }
        CHECK_EQ(wrong, 0);
        test::digest(out.data(), out.size());
      }
  kf::use("");
}

}  // namespace
