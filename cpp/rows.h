// Where rows come from: pixels of any type, extended by the border, as numbers of the type of the sums.
//
// An extended row holds, for the outputs of a range of columns, every element that their windows read. Where pixels
// already are of the type of the sums, rows are read in place and only the strips at both ends, whose windows leave
// the image, are extended; else every row is extended and converted once, into a ring of rows.
#pragma once
#include "array.h"
#include "simd.h"

namespace KF_SET {

KF_INLINE float from_half(std::uint16_t h) {
  // 2^112 moves the exponent's bias from 15 to 127; subnormal halves become exact as well.
  std::uint32_t bits = (std::uint32_t)(h & 0x7fff) << 13;
  float f;
  std::memcpy(&f, &bits, 4);
  f *= 0x1p112f;
  std::uint32_t out;
  std::memcpy(&out, &f, 4);
  const std::uint32_t special = (h & 0x7c00) == 0x7c00 ? 0x7f800000u | bits : out;
  out = special | (std::uint32_t)(h & 0x8000) << 16;
  std::memcpy(&f, &out, 4);
  return f;
}
KF_INLINE float from_bfloat(std::uint16_t h) {
  const std::uint32_t bits = (std::uint32_t)h << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

template <kf::Type T> struct Pixel;
#define KF_PIXEL(name, type, expression) \
  template <> struct Pixel<kf::Type::name> { \
    typedef type stored; \
    template <class S> static KF_INLINE S number(type p) { return (S)(expression); } \
  };
KF_PIXEL(u8, std::uint8_t, p)
KF_PIXEL(i8, std::int8_t, p)
KF_PIXEL(u16, std::uint16_t, p)
KF_PIXEL(i16, std::int16_t, p)
KF_PIXEL(u32, std::uint32_t, p)
KF_PIXEL(i32, std::int32_t, p)
KF_PIXEL(f16, std::uint16_t, from_half(p))
KF_PIXEL(bf16, std::uint16_t, from_bfloat(p))
KF_PIXEL(f32, float, p)
KF_PIXEL(f64, double, p)
#undef KF_PIXEL

// Writes n pixels that are `step` bytes apart as numbers.
template <kf::Type T, class S> static void convert_type(S* __restrict to, const std::byte* from, ptrdiff_t n, ptrdiff_t step) {
  typedef typename Pixel<T>::stored P;
  if (step == (ptrdiff_t)sizeof(P)) {
    const P* __restrict p = (const P*)from;
    for (ptrdiff_t i = 0; i < n; i++) to[i] = Pixel<T>::template number<S>(p[i]);
  } else {
    KF_ROLLED for (ptrdiff_t i = 0; i < n; i++) to[i] = Pixel<T>::template number<S>(*(const P*)(from + i * step));
  }
}

template <class S> static void convert(kf::Type type, S* to, const std::byte* from, ptrdiff_t n, ptrdiff_t step) {
  using kf::Type;
  if (floats_only && type != Type::f32) __builtin_unreachable();
  switch (type) {
    case Type::u8: return convert_type<Type::u8>(to, from, n, step);
    case Type::i8: return convert_type<Type::i8>(to, from, n, step);
    case Type::u16: return convert_type<Type::u16>(to, from, n, step);
    case Type::i16: return convert_type<Type::i16>(to, from, n, step);
    case Type::u32: return convert_type<Type::u32>(to, from, n, step);
    case Type::i32: return convert_type<Type::i32>(to, from, n, step);
    case Type::f16: return convert_type<Type::f16>(to, from, n, step);
    case Type::bf16: return convert_type<Type::bf16>(to, from, n, step);
    case Type::f32: return convert_type<Type::f32>(to, from, n, step);
    case Type::f64: return convert_type<Type::f64>(to, from, n, step);
  }
}

template <class S> constexpr kf::Type type_of = sizeof(S) == 4 ? kf::Type::f32 : kf::Type::f64;

// Elements of an extended row, from one on: `pixel` is the place of the first, which may lie outside the image, on an
// axis of columns of the image; `step` pixels lie between two elements, and `together` elements to a pixel.
template <class S> struct Row {
  const kf::Planes& image;
  kf::Border border;
  S cval;

  const std::byte* line(ptrdiff_t channel, ptrdiff_t row) const {
    return image.data + channel * image.channel + row * image.row;
  }

  KF_INLINE void inside(S* to, const std::byte* from, ptrdiff_t n, ptrdiff_t step) const {
    if (image.type != type_of<S> || step != (ptrdiff_t)sizeof(S)) return convert(image.type, to, from, n, step);
    // Short rows would wait for a call of memcpy.
    ptrdiff_t i = 0;
    for (; i < n && n >= lanes<S>; i += lanes<S>) {
      i = least(i, n - lanes<S>);
      store(to + i, load((const S*)from + i));
    }
    for (; i < n; i++) to[i] = ((const S*)from)[i];
  }

  // Writes `count` elements; `row` is the place of the row in the image, -1 for the constant.
  void extend(S* to, ptrdiff_t channel, ptrdiff_t row, ptrdiff_t pixel, ptrdiff_t count, ptrdiff_t step) const {
    const ptrdiff_t t = image.together, size = kf::size_of(image.type);
    if (row < 0) {
      for (ptrdiff_t i = 0; i < count; i++) to[i] = cval;
      return;
    }
    const std::byte* from = line(channel, row);
    const ptrdiff_t n = image.columns;
    if (step == 1) {
      // Pixels [low, high) lie inside the image; the last one may be cut.
      const ptrdiff_t pixels = t == 1 ? count : (count + t - 1) / t;
      const ptrdiff_t low = most(least(-pixel, pixels), 0), high = most(least(n - pixel, pixels), low);
      inside(to + low * t, from + (pixel + low) * image.column, least(high * t, count) - low * t, t == 1 ? image.column : size);
      auto outside = [&](ptrdiff_t i) __attribute__((always_inline)) {
        const ptrdiff_t place = kf::position(pixel + i, n, border), there = place - pixel, end = least(t, count - i * t);
        S* at = to + i * t;
        if (place < 0) {
          for (ptrdiff_t e = 0; e < end; e++) at[e] = cval;
        } else if (there >= low && (there + 1) * t <= least(high * t, count)) {
          for (ptrdiff_t e = 0; e < end; e++) at[e] = to[there * t + e];
        } else {
          convert(image.type, at, from + place * image.column, end, t == 1 ? image.column : size);
        }
      };
      for (ptrdiff_t i = 0; i < low; i++) outside(i);
      for (ptrdiff_t i = high; i < pixels; i++) outside(i);
      return;
    }
    // Every so-many-th pixel, of one channel: elements [low, high) lie inside the image.
    ptrdiff_t low = pixel < 0 ? (-pixel + step - 1) / step : 0, high = n > pixel ? (n - pixel + step - 1) / step : 0;
    low = least(low, count);
    high = most(least(high, count), low);
    inside(to + low, from + (pixel + low * step) * image.column, high - low, image.column * step);
    auto outside = [&](ptrdiff_t i) {
      const ptrdiff_t place = kf::position(pixel + i * step, n, border);
      if (place < 0) to[i] = cval;
      else convert(image.type, to + i, from + place * image.column, 1, size);
    };
    for (ptrdiff_t i = 0; i < low; i++) outside(i);
    for (ptrdiff_t i = high; i < count; i++) outside(i);
  }
};

}  // namespace KF_SET
