// Lag products. A strip of both images is packed, converted and shifted, into memory that stays in the cache; a tile
// of lags then goes over it with one register of partial sums for each of its lags. Rows of `a` are taken G at a
// time: a register of `b` is loaded once for all of the tile's lags and the rows of `a` that meet it.
#pragma once
#include "array.h"
#include "rows.h"
#include "simd.h"

namespace KF_SET {

using kf::Lags;
using kf::Planes;
using kf::scratch;
using kf::Shifted;
using kf::Type;

// Bytes are multiplied as bytes where one instruction does it, unsigned by signed; else as pairs of int16.
#if KF_BYTES == 64
typedef std::uint8_t exact_a;
typedef std::int8_t exact_b;
#else
typedef std::int16_t exact_a;
typedef std::int16_t exact_b;
#endif

// s + a * b, in integers with neighbouring products added up in a lane of int32.
KF_INLINE vec<double> add_products(vec<double> a, vec<double> b, vec<double> s) { return fma(a, b, s); }
KF_INLINE vec<float> add_products(vec<float> a, vec<float> b, vec<float> s) { return fma(a, b, s); }
KF_INLINE vec<int> add_products(vec<exact_a> a, vec<exact_b> b, vec<int> s) {
#if KF_BYTES == 64
  return (vec<int>)_mm512_dpbusd_epi32((__m512i)s, (__m512i)a, (__m512i)b);
#elif KF_BYTES == 32
  s += (vec<int>)_mm256_madd_epi16((__m256i)a, (__m256i)b);
  asm("" : "+x"(s));  // or GCC adds products up among themselves first, for which there are no registers
  return s;
#elif defined(__x86_64__)
  s += (vec<int>)_mm_madd_epi16((__m128i)a, (__m128i)b);
  asm("" : "+x"(s));
  return s;
#elif defined(__aarch64__)
  const int32x4_t low = vmlal_s16((int32x4_t)s, vget_low_s16((int16x8_t)a), vget_low_s16((int16x8_t)b));
  return (vec<int>)vmlal_high_s16(low, (int16x8_t)a, (int16x8_t)b);
#elif defined(__wasm_simd128__)
  return s + (vec<int>)__builtin_wasm_dot_s_i32x4_i16x8(a, b);
#else
  for (int i = 0; i < lanes<int>; i++) s[i] += a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
  return s;
#endif
}

// The sum of the lanes, in float64. Halves are folded: eight lanes one by one would cost as much as a row of products.
KF_INLINE double total(vec<double> v) {
#if KF_BYTES == 64
  v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
  v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
#elif KF_BYTES == 32
  v += __builtin_shufflevector(v, v, 2, 3, 0, 1);
#endif
  return v[0] + v[1];
}
template <class T> KF_INLINE double total_of_halves(vec<T> v) {
  typedef T half __attribute__((vector_size(KF_BYTES / 2)));
  half part[2];
  std::memcpy(part, &v, sizeof v);
  return total(__builtin_convertvector(part[0], vec<double>) + __builtin_convertvector(part[1], vec<double>));
}
KF_INLINE double total(vec<float> v) { return total_of_halves<float>(v); }
KF_INLINE double total(vec<int> v) { return total_of_halves<int>(v); }

// What a packed strip looks like to a tile: `a` rows × n registers, and `b` from the tile's first lag on. Pitches are
// known here: where they are not, addresses take more registers than there are. They are odd numbers of cache lines:
// rows a power of two apart would share few sets of the cache.
template <class A> constexpr ptrdiff_t strip_columns = 2048 / sizeof(A) / (sizeof(A) == 1 ? 2 : 1);
constexpr ptrdiff_t most_down = 64, most_across = 64;  // lags that one packed strip serves
template <class T> constexpr ptrdiff_t odd_lines(ptrdiff_t n) {
  constexpr ptrdiff_t line = 64 / sizeof(T);
  return ((n + line - 1) / line | 1) * line;
}
template <class A> constexpr ptrdiff_t a_pitch = odd_lines<A>(strip_columns<A>);
template <class B> constexpr ptrdiff_t b_pitch = odd_lines<B>(strip_columns<B> + most_across + 16 + lanes<B>);

template <class A, class B> struct Strip {
  const A* a;
  const B* b;
  ptrdiff_t rows, n;
};

// Rows y, y + 1, ... y + G - 1 of `a` with all of the tile's lags. Row `q` of `b` meets the rows `q - r`: in this
// order one row of `b` is held at a time. A small tile has P sums for each lag, or each addition waited for the last.
template <int R, int C, int G, class S, int P, class A, class B>
KF_INLINE void lag_rows(const Strip<A, B>& strip, ptrdiff_t y, vec<S> (&s)[P][R][C]) {
  const A* a = strip.a + y * a_pitch<A>;
  const B* b = strip.b + y * b_pitch<B>;
  KF_ROLLED for (ptrdiff_t x = 0; x < strip.n; x++, a += lanes<A>, b += lanes<B>) {
    vec<A> left[G];
    KF_UNROLL for (int d = 0; d < G; d++) left[d] = load(a + d * a_pitch<A>);
    KF_UNROLL for (int q = 0; q < G + R - 1; q++) {
      KF_UNROLL for (int c = 0; c < C; c++) {
        const vec<B> right = load(b + q * b_pitch<B> + c);
        KF_UNROLL for (int d = 0; d < G; d++)
          if (q >= d && q - d < R) s[d % P][q - d][c] = add_products(left[d], right, s[d % P][q - d][c]);
      }
    }
  }
}

// Adds the sums of one tile of lags over a strip to `sums`, of which it has `down` × `across`.
template <int R, int C, int G, class A, class B, class S>
static void lag_tile(const Strip<A, B>& strip, double* sums, ptrdiff_t pitch, ptrdiff_t down, ptrdiff_t across) {
  constexpr int P = (R * C + 3) / (R * C);
  vec<S> s[P][R][C];
  KF_UNROLL for (int p = 0; p < P; p++)
    KF_UNROLL for (int r = 0; r < R; r++)
      KF_UNROLL for (int c = 0; c < C; c++) s[p][r][c] = vec<S>{};
  ptrdiff_t y = 0;
  KF_ROLLED for (; y + G <= strip.rows; y += G) lag_rows<R, C, G, S>(strip, y, s);
  KF_ROLLED for (; y < strip.rows; y++) lag_rows<R, C, 1, S>(strip, y, s);
  S t[R][C][lanes<S>];
  KF_UNROLL for (int r = 0; r < R; r++)
    KF_UNROLL for (int c = 0; c < C; c++) {
      KF_UNROLL for (int p = 1; p < P; p++) s[0][r][c] += s[p][r][c];
      store(t[r][c], s[0][r][c]);
    }
  for (ptrdiff_t r = 0; r < least(R, down); r++)
    for (ptrdiff_t c = 0; c < least(C, across); c++) sums[r * pitch + c] += total(load(t[r][c]));
}

// A shape of tiles, and what one multiply-add costs in it, from measurements.
template <class A, class B> struct LagShape {
  int rows, columns;
  double cost;
  void (*run)(const Strip<A, B>&, double*, ptrdiff_t, ptrdiff_t, ptrdiff_t);
};
template <int R, int C, int G, class A, class B, class S> constexpr LagShape<A, B> lag_shape(double cost) {
  return {R, C, cost, lag_tile<R, C, G, A, B, S>};
}

// The shape that wastes least on a window of lags. With one column of lags and many rows, fewest registers of `b` are
// loaded for a product: most of those cross a line of the cache.
template <class A, class B, class S> static LagShape<A, B> best_lag_shape(ptrdiff_t rows, ptrdiff_t columns) {
  static constexpr LagShape<A, B> shapes[] = {
#if defined(KF_FLOATS_ONLY)
      lag_shape<8, 1, 4, A, B, S>(1),     lag_shape<3, 3, 4, A, B, S>(1.07),  lag_shape<1, 3, 4, A, B, S>(1.5)};
#elif KF_BYTES == 64 || defined(__aarch64__)
      lag_shape<15, 1, 8, A, B, S>(1),    lag_shape<10, 2, 8, A, B, S>(0.97), lag_shape<8, 2, 8, A, B, S>(1.04),
      lag_shape<7, 2, 8, A, B, S>(1.04),  lag_shape<5, 3, 8, A, B, S>(1.11),  lag_shape<5, 5, 4, A, B, S>(1.1),  lag_shape<3, 3, 8, A, B, S>(1.28),
      lag_shape<1, 3, 8, A, B, S>(1.7),   lag_shape<1, 1, 8, A, B, S>(3)};
#else
      lag_shape<10, 1, 4, A, B, S>(0.99), lag_shape<8, 1, 4, A, B, S>(1),     lag_shape<7, 1, 4, A, B, S>(1.05),
      lag_shape<5, 2, 4, A, B, S>(1.03),  lag_shape<3, 3, 4, A, B, S>(1.07),  lag_shape<1, 3, 4, A, B, S>(1.5),
      lag_shape<1, 1, 4, A, B, S>(2.5)};
#endif
  LagShape<A, B> best = shapes[0];
  double least_cost = 0;
  for (const LagShape<A, B>& s : shapes) {
    const double cost = (double)round_up(rows, s.rows) * (double)round_up(columns, s.columns) * s.cost;
    if (least_cost == 0 || cost < least_cost) best = s, least_cost = cost;
  }
  return best;
}

// n elements from row y and column x on, less the shift. Of the shifts of bytes, what is left is for `unshift`.
template <class To>
static void pack_row(const Shifted& plane, ptrdiff_t y, ptrdiff_t x, ptrdiff_t n, To* to) {
  const Planes& image = plane.planes;
  double shift = plane.shift;
  const std::byte* const from = image.data + y * image.row + x * image.column;
  if constexpr (To(0.5) != 0) {
    convert(image.type, to, from, n, image.column);
    if (shift != 0)
      for (ptrdiff_t i = 0; i < n; i++) to[i] -= (To)shift;
  } else {
    convert_type<Type::u8>(to, from, n, image.column);
    if constexpr (sizeof(To) == 1) shift = To(-1) < To(0) ? 128 : 0;
    if (shift != 0)
      for (ptrdiff_t i = 0; i < n; i++) to[i] = (To)(to[i] - (int)shift);
  }
}

template <class T> KF_INLINE bool all_finite(const T* p, ptrdiff_t n) {
  vec<T> t{};
  for (ptrdiff_t i = 0; i < n; i++) t += load(p + i * lanes<T>) * T(0);
  return total(t) == 0;
}

// The columns of a strip that fill no register, one lag after another, where `b` is not finite: packed zeros of `a`
// would make NaN of it.
template <class S>
static void ragged(const Strip<S, S>& strip, ptrdiff_t columns, double* sums, ptrdiff_t pitch, ptrdiff_t down,
                   ptrdiff_t across) {
  for (ptrdiff_t r = 0; r < down; r++)
    for (ptrdiff_t c = 0; c < across; c++) {
      S t = 0;
      for (ptrdiff_t y = 0; y < strip.rows; y++) {
        const S* a = strip.a + y * a_pitch<S>;
        const S* b = strip.b + (y + r) * b_pitch<S> + c;
        for (ptrdiff_t x = 0; x < columns; x++) t = fma(a[x], b[x], t);
      }
      sums[r * pitch + c] += (double)t;
    }
}

// Strips begin at multiples of `strip_rows`, so that sums within them do not depend on `first` where it is one. A strip
// of every `a` is packed once, and each `b` once for all of them.
template <class A, class B, class S>
static void lags_in(const Lags& job, ptrdiff_t first, ptrdiff_t last, double* sums, ptrdiff_t strip_rows) {
  const ptrdiff_t down = least(job.rows, most_down), across = least(job.columns, most_across);
  const LagShape<A, B> best = best_lag_shape<A, B, S>(down, across);
  const ptrdiff_t a_rows = least(strip_rows, last - first), b_rows = a_rows + round_up(down, best.rows);
  const ptrdiff_t a_size = a_rows * a_pitch<A>, lags = job.rows * job.columns, a_columns = job.a[0].planes.columns;
  A* const a = (A*)scratch((size_t)(job.a_count * a_size) * sizeof(A), 4);
  B* const b = (B*)scratch((size_t)(b_rows * b_pitch<B>) * sizeof(B), 5);

  for (ptrdiff_t y = first, rows; y < last; y += rows) {
    rows = least((y / strip_rows + 1) * strip_rows, last) - y;
    for (ptrdiff_t x = 0; x < a_columns; x += strip_columns<A>) {
      const ptrdiff_t columns = least(strip_columns<A>, a_columns - x), n = round_up(columns, lanes<A>) / lanes<A>;
      for (ptrdiff_t i = 0; i < job.a_count; i++)
        for (ptrdiff_t r = 0; r < rows; r++) {
          A* const to = a + i * a_size + r * a_pitch<A>;
          pack_row(job.a[i], y + r, x, columns, to);
          std::memset(to + columns, 0, (size_t)(n * lanes<A> - columns) * sizeof(A));
        }
      for (ptrdiff_t j = 0; j < job.b_count; j++)
        for (ptrdiff_t r0 = 0; r0 < job.rows; r0 += most_down)
          for (ptrdiff_t c0 = 0; c0 < job.columns; c0 += most_across) {
            const ptrdiff_t h = least(most_down, job.rows - r0), w = least(most_across, job.columns - c0);
            const ptrdiff_t inside = columns + w - 1;
            const ptrdiff_t width = round_up(n * lanes<A> + round_up(w, best.columns), lanes<B>);
            bool finite = true;
            for (ptrdiff_t r = 0; r < rows + h - 1; r++) {
              B* const to = b + r * b_pitch<B>;
              pack_row(job.b[j], y + r0 + r, x + c0, inside, to);
              std::memset(to + inside, 0, (size_t)(width - inside) * sizeof(B));
              if constexpr (S(0.5) != 0)
                if (columns < n * lanes<A>) finite &= all_finite(to, width / lanes<B>);
            }
            // Rows for the lags of a tile that the window has not.
            for (ptrdiff_t r = rows + h - 1; r < rows + round_up(h, best.rows) - 1; r++)
              std::memset(b + r * b_pitch<B>, 0, (size_t)width * sizeof(B));
            for (ptrdiff_t i = 0; i < job.a_count; i++) {
              const A* const from = a + i * a_size;
              double* const into = sums + (i * job.b_count + j) * lags + r0 * job.columns + c0;
              for (ptrdiff_t r = 0; r < h; r += best.rows)
                for (ptrdiff_t c = 0; c < w; c += best.columns)
                  best.run({from, b + r * b_pitch<B> + c, rows, finite ? n : n - 1},
                           into + r * job.columns + c, job.columns, h - r, w - c);
              if constexpr (S(0.5) != 0)
                if (!finite) {
                  const ptrdiff_t at = (n - 1) * lanes<A>;
                  ragged<S>({from + at, b + at, rows, 1}, columns - at, into, job.columns, h, w);
                }
            }
          }
    }
  }
}

#if KF_BYTES == 64
KF_INLINE std::int64_t sum_bytes(const std::byte* from, ptrdiff_t step, ptrdiff_t n) {
  std::int64_t sum = 0;
  ptrdiff_t i = 0;
  if (step == 1) {
    __m512i t = _mm512_setzero_si512();
    for (; i + 64 <= n; i += 64)
      t = _mm512_add_epi64(t, _mm512_sad_epu8(_mm512_loadu_si512(from + i), _mm512_setzero_si512()));
    KF_UNROLL for (int k = 0; k < 8; k++) sum += ((vec<std::int64_t>)t)[k];
  }
  for (; i < n; i++) sum += (std::uint8_t)from[i * step];
  return sum;
}

// From sums of a * (b - 128) to those of (a - s) * (b - t):
//   (a - s) * (b - t) = a * (b - 128) + (128 - t) * a - s * b + s * t
static void unshift(const Lags& job, ptrdiff_t first, ptrdiff_t last, double* sums) {
  const ptrdiff_t width = job.a[0].planes.columns, lags = job.rows * job.columns;
  std::int64_t* const all_a = (std::int64_t*)scratch((size_t)(job.a_count + lags + job.columns) * sizeof(std::int64_t), 6);
  // Of all lags, and of those of a row: the sum of the bytes of `b` that meet `a`, which slides along and down.
  std::int64_t *const all_b = all_a + job.a_count, *const window = all_b + lags;
  bool any_a = false, any_b = false;
  for (ptrdiff_t i = 0; i < job.a_count; i++) any_b |= job.a[i].shift != 0;
  for (ptrdiff_t j = 0; j < job.b_count; j++) any_a |= job.b[j].shift != 128;
  for (ptrdiff_t i = 0; i < job.a_count; i++) {
    const Planes& a = job.a[i].planes;
    all_a[i] = 0;
    for (ptrdiff_t y = first; any_a && y < last; y++) all_a[i] += sum_bytes(a.data + y * a.row, a.column, width);
  }
  for (ptrdiff_t j = 0; j < job.b_count; j++) {
    const Planes& b = job.b[j].planes;
    const auto add_row = [&](ptrdiff_t y, std::int64_t sign) {
      const std::byte* const row = b.data + y * b.row;
      std::int64_t sum = sum_bytes(row, b.column, width);
      for (ptrdiff_t c = 0; c < job.columns; c++) {
        if (c > 0) sum += (std::int64_t)row[(c - 1 + width) * b.column] - (std::int64_t)row[(c - 1) * b.column];
        window[c] += sign * sum;
      }
    };
    for (ptrdiff_t c = 0; c < job.columns; c++) window[c] = 0;
    for (ptrdiff_t y = first; any_b && y < last; y++) add_row(y, 1);
    for (ptrdiff_t r = 0; r < job.rows; r++) {
      if (any_b && r > 0) add_row(first + r - 1, -1), add_row(last + r - 1, 1);
      for (ptrdiff_t c = 0; c < job.columns; c++) all_b[r * job.columns + c] = window[c];
    }
    const std::int64_t t = (std::int64_t)job.b[j].shift;
    for (ptrdiff_t i = 0; i < job.a_count; i++) {
      const std::int64_t s = (std::int64_t)job.a[i].shift;
      const std::int64_t constant = (128 - t) * all_a[i] + s * t * (last - first) * width;
      double* const into = sums + (i * job.b_count + j) * lags;
      for (ptrdiff_t k = 0; k < lags; k++) into[k] += (double)(constant - s * all_b[k]);
    }
  }
}
#endif

KF_INLINE bool small_and_whole(double shift) { return shift >= 0 && shift <= 255 && shift == (double)(int)shift; }

// Whether all planes hold bytes and their shifts are bytes.
KF_INLINE bool all_bytes(const Shifted* planes, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i++)
    if (planes[i].planes.type != Type::u8 || !small_and_whole(planes[i].shift)) return false;
  return true;
}
KF_INLINE bool all_single(const Shifted* planes, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i++)
    if (planes[i].planes.type != Type::f32 || planes[i].shift != 0) return false;
  return true;
}

static void lags(const Lags& job, ptrdiff_t first, ptrdiff_t last, double* sums) {
  if (job.a_count <= 0 || job.b_count <= 0 || first >= last || job.a[0].planes.columns <= 0) return;
  if (job.rows <= 0 || job.columns <= 0) return;
  // Strips that the second-level cache holds. Those of bytes are no larger than a lane of int32 can hold the sums of:
  // 255 * 255 * 64 * 1024 / 4 < 2**31.
  if (floats_only) return lags_in<double, double, double>(job, first, last, sums, 64);
  if (all_bytes(job.a, job.a_count) && all_bytes(job.b, job.b_count)) {
    lags_in<exact_a, exact_b, int>(job, first, last, sums, 64);
#if KF_BYTES == 64
    unshift(job, first, last, sums);
#endif
  } else if (job.single && all_single(job.a, job.a_count) && all_single(job.b, job.b_count)) {
    lags_in<float, float, float>(job, first, last, sums, 32);
  } else {
    lags_in<double, double, double>(job, first, last, sums, 64);
  }
}

}  // namespace KF_SET
