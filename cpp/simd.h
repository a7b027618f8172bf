// A vector of the instruction set at hand. Every set compiles this in a namespace of its own, KF_SET, with
// KF_BYTES to a register; nothing here is shared with another set, and nothing of std:: is instantiated: the linker
// keeps one copy of an inline function, and it could be the one that an older processor cannot run.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define KF_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define KF_UNROLL _Pragma("clang loop unroll(full)")
#define KF_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define KF_UNROLL _Pragma("GCC unroll 32")
#define KF_ROLLED _Pragma("GCC unroll 1")
#endif

namespace KF_SET {

using std::ptrdiff_t;
using std::size_t;

template <class T> struct VectorOf { typedef T type __attribute__((vector_size(KF_BYTES))); };
template <class T> using vec = typename VectorOf<T>::type;
template <class T> constexpr int lanes = KF_BYTES / sizeof(T);

// Whether arrays are float32 throughout: the module for the browser is smaller by what it need not read or write.
#if defined(KF_FLOATS_ONLY)
constexpr bool floats_only = true;
#else
constexpr bool floats_only = false;
#endif

// Registers that hold sums: what is left of 16 or 32 for pixels and weights.
#if KF_BYTES == 64 || defined(__aarch64__)
constexpr int registers = 32;
#else
constexpr int registers = 16;
#endif

#if KF_BYTES >= 32 || defined(__aarch64__)
constexpr bool fused = true;
#else
constexpr bool fused = false;
#endif

KF_INLINE ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
KF_INLINE ptrdiff_t most(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
KF_INLINE ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t to) { return (n + to - 1) / to * to; }

template <class T> KF_INLINE vec<T> load(const T* p) {
  vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T> KF_INLINE void store(T* p, vec<T> v) { std::memcpy(p, &v, sizeof v); }

// Not `vec{} + x`, which loses the sign of -0.
template <class T> KF_INLINE vec<T> splat(T x) { return x - vec<T>{}; }

// Past the caches, where the target is aligned to a register.
KF_INLINE void stream(float* p, vec<float> v) {
#if KF_BYTES == 64
  _mm512_stream_ps(p, (__m512)v);
#elif KF_BYTES == 32
  _mm256_stream_ps(p, (__m256)v);
#else
  store(p, v);
#endif
}
KF_INLINE void stream(double* p, vec<double> v) {
#if KF_BYTES == 64
  _mm512_stream_pd(p, (__m512d)v);
#elif KF_BYTES == 32
  _mm256_stream_pd(p, (__m256d)v);
#else
  store(p, v);
#endif
}
// Orders streamed stores before what other threads do next.
KF_INLINE void fence() {
#if KF_BYTES >= 32
  _mm_sfence();
#endif
}

// The numbers at some offset from each of several places.
KF_INLINE vec<double> gather(const float* const* places, ptrdiff_t offset) {
#if KF_BYTES == 64
  return (vec<double>)_mm512_cvtps_pd(_mm512_i64gather_ps(_mm512_loadu_si512(places), (const void*)(offset * 4), 1));
#else
  typedef float half __attribute__((vector_size(KF_BYTES / 2)));
  half v;
  KF_UNROLL for (int i = 0; i < lanes<double>; i++) v[i] = places[i][offset];
  return __builtin_convertvector(v, vec<double>);
#endif
}

// a * b + c with one rounding where the set has it: the same bits on every set that does.
KF_INLINE vec<float> fma(vec<float> a, vec<float> b, vec<float> c) {
#if KF_BYTES == 64
  return (vec<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif KF_BYTES == 32
  return (vec<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (vec<float>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}
KF_INLINE vec<double> fma(vec<double> a, vec<double> b, vec<double> c) {
#if KF_BYTES == 64
  return (vec<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif KF_BYTES == 32
  return (vec<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
  return (vec<double>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
  return a * b + c;
#endif
}
// The same for one number.
KF_INLINE float fma(float a, float b, float c) {
  if constexpr (fused) return __builtin_fmaf(a, b, c);
  else return a * b + c;
}
KF_INLINE double fma(double a, double b, double c) {
  if constexpr (fused) return __builtin_fma(a, b, c);
  else return a * b + c;
}

// The greater and the lesser, where neither is NaN.
KF_INLINE vec<float> at_least(vec<float> a, vec<float> b) {
#if KF_BYTES == 64
  return (vec<float>)_mm512_max_ps((__m512)a, (__m512)b);
#elif KF_BYTES == 32
  return (vec<float>)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}
KF_INLINE vec<float> at_most(vec<float> a, vec<float> b) {
#if KF_BYTES == 64
  return (vec<float>)_mm512_min_ps((__m512)a, (__m512)b);
#elif KF_BYTES == 32
  return (vec<float>)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return a < b ? a : b;
#endif
}

// The nearest integers, halves to even, of numbers below 2^22.
KF_INLINE vec<std::int32_t> nearest(vec<float> v) {
#if KF_BYTES == 64
  return (vec<std::int32_t>)_mm512_cvtps_epi32((__m512)v);
#elif KF_BYTES == 32
  return (vec<std::int32_t>)_mm256_cvtps_epi32((__m256)v);
#elif defined(__SSE2__)
  return (vec<std::int32_t>)_mm_cvtps_epi32((__m128)v);
#else
  return __builtin_convertvector((v + 12582912.f) - 12582912.f, vec<std::int32_t>);
#endif
}

// Whether any lane is not 0.
KF_INLINE bool any(vec<std::int32_t> v) {
#if KF_BYTES == 64
  return _mm512_test_epi32_mask((__m512i)v, (__m512i)v) != 0;
#elif KF_BYTES == 32
  return !_mm256_testz_si256((__m256i)v, (__m256i)v);
#else
  return (v[0] | v[1] | v[2] | v[3]) != 0;
#endif
}

// Stores integers that the narrower type holds.
template <class P> KF_INLINE void narrow(P* to, vec<std::int32_t> v) {
  static_assert(sizeof(P) < 4);
#if KF_BYTES == 64
  if constexpr (sizeof(P) == 1) _mm_storeu_si128((__m128i*)to, _mm512_cvtepi32_epi8((__m512i)v));
  else _mm256_storeu_si256((__m256i*)to, _mm512_cvtepi32_epi16((__m512i)v));
#elif KF_BYTES == 32
  const __m128i low = _mm256_castsi256_si128((__m256i)v), high = _mm256_extracti128_si256((__m256i)v, 1);
  const bool is_signed = (P)-1 < (P)0;
  const __m128i both = is_signed ? _mm_packs_epi32(low, high) : _mm_packus_epi32(low, high);
  if constexpr (sizeof(P) == 1) _mm_storel_epi64((__m128i*)to, is_signed ? _mm_packs_epi16(both, both) : _mm_packus_epi16(both, both));
  else _mm_storeu_si128((__m128i*)to, both);
#else
  KF_UNROLL for (int i = 0; i < lanes<std::int32_t>; i++) to[i] = (P)v[i];
#endif
}

}  // namespace KF_SET
