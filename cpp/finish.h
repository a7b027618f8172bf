// What becomes of sums: a bias is added last, integers are scaled, rounded and saturated; results are stored.
#pragma once
#include "array.h"
#include "rows.h"
#include "simd.h"

namespace KF_SET {

// Whether a tile may store its sums as they are.
template <class S> KF_INLINE bool is_stored(const kf::Planes& result) {
  return result.type == type_of<S> && (result.columns <= 1 || result.column == (ptrdiff_t)sizeof(S) * result.together);
}

// Adding and taking away this number leaves the nearest integer, halves to even, of what is below 2^22 (2^51).
template <class S> constexpr S nearest_magic = sizeof(S) == 4 ? (S)12582912.0 : (S)6755399441055744.0;

template <class S> struct Rounding {
  S bias, scale, low, high, doubt;
  bool up;
};

// Integers of sums; NaN becomes 0. Returns whether one was further than `doubt` from its integer and not beyond the
// limits.
template <class S, class P, bool Up, bool Doubt, bool Plain = false>
static bool round_sums(P* __restrict to, const S* __restrict sums, ptrdiff_t n, const Rounding<S> r) {
  const S magic = nearest_magic<S>;
  bool doubtful = false;
  ptrdiff_t i = 0;
  if constexpr (sizeof(S) == 4 && sizeof(P) < 4) {
    typedef vec<std::int32_t> ints;
    ints far{};
    // The last register is moved inwards.
    for (; i < n && n >= lanes<S>; i += lanes<S>) {
      i = least(i, n - lanes<S>);
      vec<S> v = load(sums + i);
      if constexpr (!Plain) {
        v = (v + r.bias) * r.scale;
        if constexpr (Up) v += (S)0.5;
        v = (vec<S>)((ints)v & (ints)(v == v));
      }
      v = at_most(at_least(v, splat(r.low)), splat(r.high));
      ints whole = nearest(v);
      if constexpr (Up) whole += (ints)(__builtin_convertvector(whole, vec<S>) > v);
      if constexpr (Doubt) {
        const vec<S> off = v - __builtin_convertvector(whole, vec<S>);
        far |= (ints)((vec<S>)((ints)off & 0x7fffffff) > r.doubt);
      }
      narrow(to + i, whole);
    }
    if constexpr (Doubt) doubtful = any(far);
  }
  for (; i < n; i++) {
    S v = (sums[i] + r.bias) * r.scale;
    if constexpr (Up) v += (S)0.5;
    v = v == v ? v : (S)0;
    S c = v < r.low ? r.low : v;
    c = c > r.high ? r.high : c;
    S whole = (c + magic) - magic;
    if constexpr (Up) whole = whole > c ? whole - 1 : whole;
    if constexpr (Doubt) {
      const S off = c - whole;
      doubtful |= (off < 0 ? -off : off) > r.doubt;
    }
    if constexpr (sizeof(P) == 4) to[i] = (P)(std::int64_t)whole;
    else to[i] = (P)(std::int32_t)whole;
  }
  return doubtful;
}

// The same one by one, where results are not side by side.
template <class S, class P> KF_INLINE P round_one(S sum, const Rounding<S>& r) {
  P to;
  if (r.up) round_sums<S, P, true, false>(&to, &sum, 1, r);
  else round_sums<S, P, false, false>(&to, &sum, 1, r);
  return to;
}

template <class P> constexpr double lowest = (P)-1 < (P)0 ? -(double)((std::uint64_t)1 << (8 * sizeof(P) - 1)) : 0.0;
template <class P>
constexpr double highest = (P)-1 < (P)0 ? (double)(((std::uint64_t)1 << (8 * sizeof(P) - 1)) - 1)
                                        : (double)(((std::uint64_t)1 << (8 * sizeof(P))) - 1);

template <class S, class P> KF_INLINE Rounding<S> rounding_of(const kf::Correlation& k, ptrdiff_t output) {
  const double bias = k.bias ? k.bias[output] : 0.0;
  return {(S)bias, (S)k.scale, (S)lowest<P>, (S)highest<P>, (S)k.doubt, k.up};
}

template <class S, class P>
static bool finish_integers(const kf::Correlation& k, ptrdiff_t output, const S* sums, ptrdiff_t n, std::byte* to,
                           ptrdiff_t step, bool certain) {
  const Rounding<S> r = rounding_of<S, P>(k, output);
  if (step == (ptrdiff_t)sizeof(P)) {
    if (r.up) return round_sums<S, P, true, false>((P*)to, sums, n, r);
    if (certain) return round_sums<S, P, false, false>((P*)to, sums, n, r);
    // Doubt is for integer pixels and finite weights: there is no NaN.
    if (r.bias == 0 && r.scale == 1) return round_sums<S, P, false, true, true>((P*)to, sums, n, r);
    return round_sums<S, P, false, true>((P*)to, sums, n, r);
  }
  P block[256];
  bool doubtful = false;
  for (ptrdiff_t i = 0; i < n; i += 256) {
    const ptrdiff_t m = least(256, n - i);
    doubtful |= finish_integers<S, P>(k, output, sums + i, m, (std::byte*)block, sizeof(P), certain);
    for (ptrdiff_t j = 0; j < m; j++) *(P*)(to + (i + j) * step) = block[j];
  }
  return doubtful;
}

template <class S, class P>
static void finish_floats(const S* __restrict sums, ptrdiff_t n, std::byte* to, ptrdiff_t step, S bias, bool biased) {
  for (ptrdiff_t i = 0; i < n; i++) *(P*)(to + i * step) = (P)(biased ? sums[i] + bias : sums[i]);
}

// Stores n sums of one row of one output channel, `step` bytes apart. Returns whether any was in doubt: nothing is
// known then of those, and they are to be taken again.
template <class S>
static bool finish(const kf::Correlation& k, ptrdiff_t output, const S* sums, ptrdiff_t n, kf::Type type, std::byte* to,
                  ptrdiff_t step) {
  using kf::Type;
  if (floats_only && (type != Type::f32 || k.doubt > 0)) __builtin_unreachable();
  const bool biased = k.bias != nullptr, certain = !(k.doubt > 0);
  const S bias = biased ? (S)k.bias[output] : (S)0;
  switch (type) {
    case Type::u8: return finish_integers<S, std::uint8_t>(k, output, sums, n, to, step, certain);
    case Type::i8: return finish_integers<S, std::int8_t>(k, output, sums, n, to, step, certain);
    case Type::u16: return finish_integers<S, std::uint16_t>(k, output, sums, n, to, step, certain);
    case Type::i16: return finish_integers<S, std::int16_t>(k, output, sums, n, to, step, certain);
    case Type::i32: return finish_integers<S, std::int32_t>(k, output, sums, n, to, step, true);
    case Type::u32: return finish_integers<S, std::uint32_t>(k, output, sums, n, to, step, true);
    case Type::f32: return finish_floats<S, float>(sums, n, to, step, bias, biased), false;
    case Type::f64: return finish_floats<S, double>(sums, n, to, step, bias, biased), false;
    default: return false;
  }
}

// Stores one sum that was taken again in float64; whether a number in float32 was in doubt is said by `is_doubtful`.
static void store_again(const kf::Correlation& k, ptrdiff_t output, double sum, kf::Type type, std::byte* to) {
  using kf::Type;
  if (floats_only) __builtin_unreachable();
  switch (type) {
    case Type::u8: *(std::uint8_t*)to = round_one<double, std::uint8_t>(sum, rounding_of<double, std::uint8_t>(k, output)); break;
    case Type::i8: *(std::int8_t*)to = round_one<double, std::int8_t>(sum, rounding_of<double, std::int8_t>(k, output)); break;
    case Type::u16: *(std::uint16_t*)to = round_one<double, std::uint16_t>(sum, rounding_of<double, std::uint16_t>(k, output)); break;
    case Type::i16: *(std::int16_t*)to = round_one<double, std::int16_t>(sum, rounding_of<double, std::int16_t>(k, output)); break;
    default: break;
  }
}

// Whether a sum in float32 is so far from an integer that float64 may round it to another one.
KF_INLINE bool is_doubtful(const kf::Correlation& k, float bias, float sum) {
  const float v = (sum + bias) * (float)k.scale, magic = nearest_magic<float>;
  if (!(v > -65537.f && v < 131071.f)) return false;
  const float off = v - ((v + magic) - magic);
  return (off < 0 ? -off : off) > k.doubt;
}

// Calls found(i) for every sum of a row that is in doubt.
template <class F> KF_INLINE void each_doubtful(const kf::Correlation& k, float bias, const float* sums, ptrdiff_t n, F found) {
  ptrdiff_t i = 0;
  const float scale = (float)k.scale, magic = nearest_magic<float>;
  for (; i + lanes<float> <= n; i += lanes<float>) {
    const vec<float> v = (load(sums + i) + bias) * scale, off = v - ((v + magic) - magic);
    typedef vec<std::int32_t> ints;
    if (__builtin_expect(!any((ints)((vec<float>)((ints)off & 0x7fffffff) > k.doubt)), 1)) continue;
    for (ptrdiff_t j = i; j < i + lanes<float>; j++)
      if (is_doubtful(k, bias, sums[j])) found(j);
  }
  for (; i < n; i++)
    if (is_doubtful(k, bias, sums[i])) found(i);
}

}  // namespace KF_SET
