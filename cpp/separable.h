// Kernels that are sums of outer products: a tile of rows is correlated down into rows of intermediate numbers, which
// are correlated along while they are in the first-level cache. What is outside the image costs no pixel: the numbers
// of columns there are those of the columns that the border maps them to.
#pragma once
#include "array.h"
#include "direct.h"
#include "finish.h"
#include "rows.h"
#include "simd.h"

#if defined(__clang__)
#define KF_UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define KF_UNROLL_4 _Pragma("GCC unroll 4")
#endif

namespace KF_SET {

// Kernels of at least R rows: rows above the tile's last, full rows, rows below the kernel's first.
template <class S, int R, int V, int I>
KF_INLINE void down_head(vec<S> (&sum)[R][V], const S* const* rows, ptrdiff_t x, const S* w) {
  if constexpr (I > 0) down_head<S, R, V, I - 1>(sum, rows, x, w);
  feed<S, R, V, 0, I + 1, 1>(sum, rows[I] + x, w + I, 1, 0);
}
template <class S, int R, int V, int I>
KF_INLINE void down_tail(vec<S> (&sum)[R][V], const S* const* rows, ptrdiff_t x, const S* w) {
  if constexpr (I > 1) down_tail<S, R, V, I - 1>(sum, rows, x, w);
  feed<S, R, V, I, R, 1>(sum, rows[I] + x, w + I, 1, 0);
}
// Kernels of K rows.
template <class S, int R, int V, int K, int I>
KF_INLINE void down_all(vec<S> (&sum)[R][V], const S* const* rows, ptrdiff_t x, const S* w) {
  if constexpr (I > 0) down_all<S, R, V, K, I - 1>(sum, rows, x, w);
  feed<S, R, V, (I >= K ? I - K + 1 : 0), (I + 1 < R ? I + 1 : R), 1>(sum, rows[I] + x, w + I, 1, 0);
}

template <class S, int R, int V, int K>
KF_INLINE void down_tile(const S* const* rows, const S* w, ptrdiff_t kh, ptrdiff_t x, S* to, ptrdiff_t pitch) {
  vec<S> sum[R][V];
  KF_UNROLL for (int y = 0; y < R; y++) KF_UNROLL for (int v = 0; v < V; v++) sum[y][v] = vec<S>{};
  if constexpr (K > 0) {
    down_all<S, R, V, K, R + K - 2>(sum, rows, x, w);
  } else {
    if constexpr (R > 1) down_head<S, R, V, R - 2>(sum, rows, x, w);
    KF_ROLLED for (ptrdiff_t r = R - 1; r < kh; r++) feed<S, R, V, 0, R, 1>(sum, rows[r] + x, w + r, 1, 0);
    if constexpr (R > 1) down_tail<S, R, V, R - 1>(sum, rows + kh - 1, x, w + kh - 1);
  }
  KF_UNROLL for (int y = 0; y < R; y++) KF_UNROLL for (int v = 0; v < V; v++) store(to + y * pitch + x + v * lanes<S>, sum[y][v]);
}

// Elements [x0, x1) of `All` rows, R at a time; there is a register of pixels in front of x1.
template <class S, int All, int R, int V, int K>
static void down(const S* const* rows, const S* w, ptrdiff_t kh, ptrdiff_t x0, ptrdiff_t x1, S* to, ptrdiff_t pitch) {
  KF_ROLLED for (int y = 0; y < All; y += R) {
    ptrdiff_t x = x0;
    for (; x + V * lanes<S> <= x1; x += V * lanes<S>) down_tile<S, R, V, K>(rows + y, w, kh, x, to + y * pitch, pitch);
    for (; x < x1; x += lanes<S>) down_tile<S, R, 1, K>(rows + y, w, kh, least(x, x1 - lanes<S>), to + y * pitch, pitch);
  }
}

// Rows of intermediate numbers, `pitch` apart, those of the next term `next` further on.
template <class S> struct Along {
  const S* rows;
  ptrdiff_t pitch, next, terms;
  const S* weights;
  ptrdiff_t kw, step;
};

// Taps [b, end) of registers First to Last: loads are shared where an output's tap is one of the output beside it.
template <class S, int R, int V, int First, int Last>
KF_INLINE void feed_along(vec<S> (&sum)[R][V], const S* x, ptrdiff_t pitch, const S* w, ptrdiff_t b, ptrdiff_t end) {
  KF_UNROLL_4 for (; b < end; b++) {
    vec<S> p[R];
    KF_UNROLL for (int y = 0; y < R; y++) p[y] = load(x + y * pitch + b);
    KF_UNROLL for (int v = First; v < Last; v++) {
      const vec<S> weight = splat(w[b - v * lanes<S>]);
      KF_UNROLL for (int y = 0; y < R; y++) sum[y][v] = fma(weight, p[y], sum[y][v]);
    }
  }
}
template <class S, int R, int V, int I>
KF_INLINE void along_head(vec<S> (&sum)[R][V], const S* x, ptrdiff_t pitch, const S* w) {
  if constexpr (I > 0) along_head<S, R, V, I - 1>(sum, x, pitch, w);
  feed_along<S, R, V, 0, I + 1>(sum, x, pitch, w, I * lanes<S>, (I + 1) * lanes<S>);
}
template <class S, int R, int V, int I>
KF_INLINE void along_tail(vec<S> (&sum)[R][V], const S* x, ptrdiff_t pitch, const S* w, ptrdiff_t kw) {
  if constexpr (I > 1) along_tail<S, R, V, I - 1>(sum, x, pitch, w, kw);
  feed_along<S, R, V, I, V>(sum, x, pitch, w, kw + (I - 1) * lanes<S>, kw + I * lanes<S>);
}

#if KF_BYTES == 64
// One element on, of two registers side by side. Every load that is not aligned takes two, so this is half of them.
KF_INLINE vec<float> one_on(vec<float> a, vec<float> b) { return (vec<float>)_mm512_alignr_epi32((__m512i)b, (__m512i)a, 1); }
KF_INLINE vec<double> one_on(vec<double> a, vec<double> b) { return (vec<double>)_mm512_alignr_epi64((__m512i)b, (__m512i)a, 1); }
#endif

// `Shared`: taps lie side by side, and there are at least those of V - 1 registers.
template <class S, int R, int V, bool Shared>
KF_INLINE void along_tile(const Along<S>& k, ptrdiff_t x, const Target<S>& target, bool aligned) {
  vec<S> sum[R][V];
  KF_UNROLL for (int y = 0; y < R; y++) KF_UNROLL for (int v = 0; v < V; v++) sum[y][v] = vec<S>{};
  const S *rows = k.rows + x, *w = k.weights;
  KF_ROLLED for (ptrdiff_t term = 0; term < k.terms; term++, rows += k.next, w += k.kw) {
    if constexpr (Shared) {
      along_head<S, R, V, V - 2>(sum, rows, k.pitch, w);
      feed_along<S, R, V, 0, V>(sum, rows, k.pitch, w, (V - 1) * lanes<S>, k.kw);
      along_tail<S, R, V, V - 1>(sum, rows, k.pitch, w, k.kw);
    } else {
      const S* p = rows;
      ptrdiff_t b = 0;
#if KF_BYTES == 64
      if (V > 1 && k.step == 1) {
        KF_ROLLED for (; b + 2 <= k.kw; b += 2, p += 2) {
          const vec<S> first = splat(w[b]), second = splat(w[b + 1]);
          KF_UNROLL for (int y = 0; y < R; y++) {
            vec<S> q = load(p + y * k.pitch);
            KF_UNROLL for (int v = 0; v < V; v++) {
              const vec<S> after = load(p + y * k.pitch + (v + 1) * lanes<S>);
              sum[y][v] = fma(first, q, sum[y][v]);
              sum[y][v] = fma(second, one_on(q, after), sum[y][v]);
              q = after;
            }
          }
        }
      }
#endif
      KF_ROLLED for (; b < k.kw; b++, p += k.step) {
        const vec<S> weight = splat(w[b]);
        KF_UNROLL for (int y = 0; y < R; y++) KF_UNROLL for (int v = 0; v < V; v++)
          sum[y][v] = fma(weight, load(p + y * k.pitch + v * lanes<S>), sum[y][v]);
      }
    }
  }
  if (target.bias) {
    const vec<S> bias = splat(*target.bias);
    KF_UNROLL for (int y = 0; y < R; y++) KF_UNROLL for (int v = 0; v < V; v++) sum[y][v] += bias;
  }
  S* to = target.to + x;
  if (target.streamed && aligned) {
    KF_UNROLL for (int y = 0; y < R; y++) KF_UNROLL for (int v = 0; v < V; v++) stream(to + y * target.y + v * lanes<S>, sum[y][v]);
  } else {
    KF_UNROLL for (int y = 0; y < R; y++) KF_UNROLL for (int v = 0; v < V; v++) store(to + y * target.y + v * lanes<S>, sum[y][v]);
  }
}

// Elements [x0, x1) of `All` rows, R at a time; there is a register of results in front of x1. What is left behind the
// last tile is another one, moved inwards, or some registers of all rows: what was streamed is not to be written again.
template <class S, int All, int R, int V, bool Shared>
static void along(const Along<S>& k, ptrdiff_t x0, ptrdiff_t x1, const Target<S>& target) {
  constexpr ptrdiff_t width = V * lanes<S>;
  const ptrdiff_t left = (x1 - x0) % width;
  const ptrdiff_t end = x1 - x0 >= width && left > 2 * lanes<S> && !target.streamed ? x1 : x1 - left;
  KF_ROLLED for (int y = 0; y < All && x0 < end; y += R) {
    Along<S> part = k;
    part.rows += y * k.pitch;
    const Target<S> to{target.to + y * target.y, target.y, target.bias, target.streamed};
    for (ptrdiff_t x = x0; x < end; x += width) {
      const ptrdiff_t at = least(x, end - width);
      along_tile<S, R, V, Shared>(part, at, to, at == x);
    }
  }
  for (ptrdiff_t x = end; x < x1; x += lanes<S>) {
    const ptrdiff_t at = least(x, x1 - lanes<S>);
    along_tile<S, All, 1, false>(k, at, target, at == x);
  }
}

// Both passes over a tile of rows, and the elements that most of their tiles are wide.
template <class S> struct Passes {
  int rows, down_width, along_width;
  void (*down)(const S* const*, const S*, ptrdiff_t, ptrdiff_t, ptrdiff_t, S*, ptrdiff_t);
  void (*along)(const Along<S>&, ptrdiff_t, ptrdiff_t, const Target<S>&);
};

// Shapes of tiles as measured. Kernels lower than a tile take lower tiles, but for those that are written out. Along,
// one row has most registers side by side, but kernels so wide that loads are shared take several rows.
template <class S> static Passes<S> passes_for(ptrdiff_t kh, ptrdiff_t kw, ptrdiff_t step, ptrdiff_t height) {
  constexpr bool many = registers == 32;
  constexpr int rows = many ? 8 : 6, V = many ? 3 : 2, wide = many ? 8 : 10, two = many ? 8 : 5, one = many ? 8 : 6;
  constexpr int shared_rows = many ? 8 : 3, shared = many ? 3 : 4;
  Passes<S> p{1, one * lanes<S>, one * lanes<S>, down<S, 1, 1, one, 0>, along<S, 1, 1, one, false>};
  if (height >= rows) {
    p = {rows, V * lanes<S>, wide * lanes<S>, nullptr, along<S, rows, 1, wide, false>};
    if (kh == 3) p.down = down<S, rows, rows, V, 3>;
    else if (kh == 5) p.down = down<S, rows, rows, V, 5>;
    else if (kh == 7 && many) p.down = down<S, rows, rows, V, many ? 7 : 5>;
    else if (kh >= rows) p.down = down<S, rows, rows, V, 0>;
    else if (kh >= 2) p.down_width = two * lanes<S>, p.down = down<S, rows, 2, two, 0>;
    else p.down_width = one * lanes<S>, p.down = down<S, rows, 1, one, 0>;
    if (step == 1 && kw >= (shared - 1) * lanes<S>)
      p.along_width = shared * lanes<S>, p.along = along<S, rows, shared_rows, shared, true>;
    else if (!many && step == 1 && 2 * kw >= 3 * lanes<S>)
      p.along_width = 2 * lanes<S>, p.along = along<S, rows, many ? 1 : 3, 2, true>;
  } else if (height >= 2) {
    p = {2, two * lanes<S>, two * lanes<S>, down<S, 2, 2, two, 0>, along<S, 2, 2, two, false>};
    if (kh < 2) p.down = down<S, 2, 1, two, 0>;
  }
  return p;
}

KF_INLINE const float* down_of(const kf::Correlation& k, float) { return k.single_down; }
KF_INLINE const double* down_of(const kf::Correlation& k, double) { return k.down; }
KF_INLINE const float* along_of(const kf::Correlation& k, float) { return k.single_along; }
KF_INLINE const double* along_of(const kf::Correlation& k, double) { return k.along; }

// Takes again, in float64, sums of a row that are in doubt; element 0 of the rows of pixels is that of the sums.
template <class S>
static __attribute__((noinline)) void settle_separable(const kf::Correlation& job, const S* const* rows, ptrdiff_t step,
                                                       const S* sums, ptrdiff_t x, ptrdiff_t n, kf::Type type,
                                                       std::byte* to, ptrdiff_t gap, double* middle) {
  const ptrdiff_t kh = job.rows.size, kw = job.columns.size;
  const float bias = job.bias ? (float)*job.bias : 0.f;
  ptrdiff_t places[4];
  int found = 0;
  // Four at a time: each step of a sum along waits for the one before.
  auto take_again = [&]() {
    double sum[4] = {0, 0, 0, 0};
    for (ptrdiff_t term = 0; term < job.terms; term++) {
      for (int i = 0; i < found; i++) {
        double* __restrict m = middle + i * kw;
        for (ptrdiff_t b = 0; b < kw; b++) m[b] = 0;
        for (ptrdiff_t a = 0; a < kh; a++) {
          const S* row = rows[a] + x + places[i];
          const double w = job.down[term * kh + a];
          if (step == 1) for (ptrdiff_t b = 0; b < kw; b++) m[b] = fma(w, (double)row[b], m[b]);
          else for (ptrdiff_t b = 0; b < kw; b++) m[b] = fma(w, (double)row[b * step], m[b]);
        }
      }
      for (ptrdiff_t b = 0; b < kw; b++)
        for (int i = 0; i < 4; i++) sum[i] = fma(job.along[term * kw + b], middle[i * kw + b], sum[i]);
    }
    for (int i = 0; i < found; i++) store_again(job, 0, sum[i], type, to + places[i] * gap);
    found = 0;
  };
  for (ptrdiff_t i = 0; i < 4 * kw; i++) middle[i] = 0;
  for (ptrdiff_t i = 0; i < n; i++)
    if (is_doubtful(job, bias, (float)sums[i])) {
      places[found++] = i;
      if (found == 4) take_again();
    }
  if (found) take_again();
}

// Intermediate numbers of one tile of rows. Elements count from the first that the first output of the strip reads;
// [low, high) lie inside the image, and what rows hold of it reaches from `begin` to `end`.
template <class S> struct Middle {
  const Passes<S>& passes;
  const S* const* rows;
  const S* weights;          // down
  const S* constants;        // of every term, outside of the image, or null
  ptrdiff_t kh, terms;
  ptrdiff_t low, high, begin, end;
  const ptrdiff_t* places;   // of elements [0, low) and from `high` on: the elements they are equal to
  S* to;                     // of element `base`: terms × rows of the tile
  ptrdiff_t pitch, next;
  S* edge;                   // as many for columns that are elsewhere
  ptrdiff_t edge_width;
  ptrdiff_t base, have;      // inside, elements up to `have` are there

  void inside(ptrdiff_t need) {
    if (have >= least(need, high)) return;
    const ptrdiff_t stop = least(high, have + round_up(need - have, passes.down_width));
    for (ptrdiff_t i = 0; i < terms; i++) passes.down(rows, weights + i * kh, kh, have, stop, to + i * next - base, pitch);
    have = stop;
  }

  void outside(ptrdiff_t from, ptrdiff_t until) {
    if (from >= until) return;
    if (constants) {
      for (ptrdiff_t i = 0; i < terms; i++)
        for (int y = 0; y < passes.rows; y++) {
          S* line = to + i * next + y * pitch - base;
          for (ptrdiff_t x = from; x < until; x++) line[x] = constants[i];
        }
      return;
    }
    const ptrdiff_t* place = places + (from < low ? from : low + from - high);
    ptrdiff_t first = place[0], last = first;
    for (ptrdiff_t i = 1; i < until - from; i++) first = least(first, place[i]), last = most(last, place[i]);
    const bool here = first >= most(low, base) && last < have;
    if (!here && last - first >= edge_width - 2 * lanes<S>) {
      const ptrdiff_t half = (from + until) / 2;
      outside(from, half);
      outside(half, until);
      return;
    }
    const ptrdiff_t stop = most(last + 1, least(first + lanes<S>, end)), start = least(first, stop - lanes<S>);
    for (ptrdiff_t i = 0; i < terms; i++) {
      if (!here) passes.down(rows, weights + i * kh, kh, first, stop, edge - start, edge_width);
      for (int y = 0; y < passes.rows; y++) {
        S* line = to + i * next + y * pitch - base;
        const S* source = here ? line : edge + y * edge_width - start;
        for (ptrdiff_t x = 0; x < until - from; x++) line[from + x] = source[place[x]];
      }
    }
  }

  // Everything that outputs in [base, base + n) read, where they read up to `need`.
  void fill(ptrdiff_t& filled, ptrdiff_t need) {
    if (need > low) inside(need);
    if (filled < low) outside(filled, least(need, low));
    if (need > high) outside(most(filled, high), need);
    filled = need;
  }

  // The next outputs begin at x.
  void move(ptrdiff_t x, ptrdiff_t filled) {
    const ptrdiff_t top = filled <= low ? filled : most(filled, have), from = x - lanes<S>;
    for (ptrdiff_t i = 0; i < terms; i++)
      for (int y = 0; y < passes.rows; y++) {
        S* line = to + i * next + y * pitch;
        __builtin_memmove(line - lanes<S>, line + from - base, (size_t)(top - from) * sizeof(S));
      }
    base = x;
  }
};

// Results in columns [x0, x1), few enough that rows of pixels stay in the cache.
template <class S>
static void separable_columns(const kf::Correlation& job, const kf::Planes& image, const kf::Planes& result, ptrdiff_t y0,
                              ptrdiff_t y1, ptrdiff_t x0, ptrdiff_t x1, const Passes<S>& passes, bool streamed) {
  const ptrdiff_t t = image.together, kh = job.rows.size, kw = job.columns.size, terms = job.terms, size = sizeof(S);
  const ptrdiff_t step = job.columns.dilation * t, elements = (x1 - x0) * t, reach = (kw - 1) * step;
  const ptrdiff_t pixel = x0 - job.columns.before, total = elements + reach, tall = passes.rows, need = tall + kh - 1;
  const bool is_constant = job.border == kf::Border::constant, stored = is_stored<S>(result);

  // In place: rows of the right type that reach over a register of the image.
  const ptrdiff_t begin = -pixel * t, end = (image.columns - pixel) * t;
  const bool contiguous = image.columns <= 1 || image.column == size * t;
  const bool in_place = image.type == type_of<S> && contiguous && !(job.doubt > 0) && least(end, total) - most(begin, 0) >= lanes<S>;
  const ptrdiff_t low = in_place ? most(begin, 0) : 0, high = in_place ? least(end, total) : round_up(total, lanes<S>);
  const ptrdiff_t outside = low + most(total - high, 0);

  // Blocks of outputs whose intermediate numbers and sums stay in the first-level cache.
  const ptrdiff_t most_elements = (stored ? 2048 : 1024) / size, blocks = (elements + most_elements - 1) / most_elements;
  const ptrdiff_t block = round_up((elements + blocks - 1) / blocks, elements < passes.along_width ? lanes<S> : passes.along_width);
  auto apart = [&](ptrdiff_t n) { n = round_up(n, lanes<S>); return n * size % 1024 ? n : n + 64 / size; };
  const ptrdiff_t pitch = apart(block + reach + passes.down_width + 3 * lanes<S>), edge_width = apart(most(reach, passes.down_width) + 4 * lanes<S>);
  const ptrdiff_t sums_pitch = apart(block + lanes<S>), ring_pitch = in_place ? 0 : apart(high);
  const bool has_blank = in_place && is_constant;

  std::byte* memory = kf::scratch((size_t)(round_up((need + tall) * (ptrdiff_t)sizeof(void*), 64) +
                                           round_up((in_place ? outside : 0) * (ptrdiff_t)sizeof(ptrdiff_t), 64) + round_up(terms * size, 64) +
                                           round_up(terms * tall * pitch * size, 64) + round_up(tall * edge_width * size, 64) +
                                           round_up(tall * sums_pitch * size, 64) + round_up(need * ring_pitch * size, 64) +
                                           round_up(has_blank ? high * size : 0, 64) + round_up(4 * kw * 8, 64)), 1);
  const S** rows = take<const S*>(memory, need + tall);
  ptrdiff_t* places = take<ptrdiff_t>(memory, in_place ? outside : 0);
  S* constants = take<S>(memory, terms);
  S* middle = take<S>(memory, terms * tall * pitch);
  S* edge = take<S>(memory, tall * edge_width);
  S* sums = take<S>(memory, tall * sums_pitch);
  S* ring = take<S>(memory, need * ring_pitch);
  S* blank = take<S>(memory, has_blank ? high : 0);
  double* again = take<double>(memory, 4 * kw);

  // A constant beside float32 pixels is one of them.
  const bool narrowed = image.type == kf::Type::f32 || image.type == kf::Type::f16 || image.type == kf::Type::bf16;
  const S cval = narrowed ? (S)(float)job.cval : (S)job.cval;
  const S *down_weights = down_of(job, S{}), *along_weights = along_of(job, S{});
  for (ptrdiff_t i = 0; i < (has_blank ? high : 0); i++) blank[i] = cval;
  for (ptrdiff_t i = 0; i < terms; i++) {
    S sum = 0;
    for (ptrdiff_t a = 0; a < kh; a++) sum = fma(down_weights[i * kh + a], cval, sum);
    constants[i] = sum;
  }
  if (in_place && !is_constant)
    for (ptrdiff_t i = 0; i < outside; i++) {
      const ptrdiff_t x = i < low ? i : high + i - low;
      places[i] = (kf::position(pixel + x / t, image.columns, job.border) - pixel) * t + x % t;
    }

  const Row<S> row{image, job.border, cval};
  // Intermediate numbers are as aligned as the pixels they come from.
  const ptrdiff_t shift = in_place ? ((pixel * t) % lanes<S> + lanes<S>) % lanes<S> : 0;
  Along<S> line{nullptr, pitch, tall * pitch, terms, along_weights, kw, step};
  const ptrdiff_t gap = t > 1 ? kf::size_of(result.type) : result.column, dilation = job.rows.dilation;
  const S* bias = bias_of(job, S{});

  // Rows of outputs that lie a dilation apart share the rows of pixels that do.
  for (ptrdiff_t sequence = 0; sequence < dilation && y0 + sequence < y1; sequence++) {
    const ptrdiff_t first = y0 + sequence, count = (y1 - first + dilation - 1) / dilation;
    auto row_of = [&](ptrdiff_t q) { return kf::position(first + q * dilation - job.rows.before, image.rows, job.border); };
    ptrdiff_t next = 0;
    for (ptrdiff_t i = 0; i < count; i += tall) {
      const ptrdiff_t y = least(i, count - tall);
      if (in_place) {
        for (ptrdiff_t q = 0; q < need + tall; q++) {
          const ptrdiff_t at = row_of(y + q);
          rows[q] = at < 0 ? blank : (const S*)row.line(0, at) + pixel * t;
        }
      } else {
        for (; next < y + need; next++) {
          S* to = ring + next % need * ring_pitch;
          row.extend(to, 0, row_of(next), pixel, total, 1);
          for (ptrdiff_t x = total; x < high; x++) to[x] = 0;
        }
        for (ptrdiff_t q = 0; q < need; q++) rows[q] = ring + (y + q) % need * ring_pitch;
      }

      Middle<S> m{passes, rows, down_weights, is_constant && in_place ? constants : nullptr, kh, terms, low, high, begin, end, places,
                  middle + lanes<S> + shift, pitch, tall * pitch, edge, edge_width, 0, low ? low : -shift};
      ptrdiff_t filled = 0;
      std::byte* base = result.data + (first + y * dilation) * result.row + x0 * result.column;
      const ptrdiff_t next_row = dilation * result.row;
      const bool whole = stored && elements >= lanes<S> && next_row % size == 0;
      const Target<S> to_result{(S*)base, next_row / size, bias,
                                streamed && (size_t)base % KF_BYTES == 0 && next_row % KF_BYTES == 0};
      for (ptrdiff_t x = 0; x < elements; x += block) {
        const ptrdiff_t stop = least(x + block, elements);
        if (x) m.move(x, filled);
        m.fill(filled, stop + reach);
        line.rows = m.to - x;
        if (whole) {
          passes.along(line, x, stop, to_result);
          continue;
        }
        const ptrdiff_t n = stop - x;
        passes.along(line, x, x + round_up(n, lanes<S>), {sums - x, sums_pitch, nullptr, false});
        for (ptrdiff_t r = 0; r < tall; r++) {
          std::byte* to = base + r * next_row + x * gap;
          const S* from = sums + r * sums_pitch;
          const bool doubtful = finish<S>(job, 0, from, n, result.type, to, gap);
          if constexpr (size == 4)
            if (doubtful) settle_separable<S>(job, rows + r, step, from, x, n, result.type, to, gap, again);
        }
      }
    }
  }
}

template <class S>
static void separable_sums(const kf::Correlation& job, const kf::Planes& image, const kf::Planes& result, ptrdiff_t y0,
                           ptrdiff_t y1, ptrdiff_t x0, ptrdiff_t x1) {
  const ptrdiff_t kh = job.rows.size, t = image.together;
  const Passes<S> passes = passes_for<S>(kh, job.columns.size, job.columns.dilation * t, (y1 - y0) / job.rows.dilation);
  const ptrdiff_t bytes = (passes.rows + kh - 1) * (ptrdiff_t)sizeof(S) * t;
  // Rows stay in the second-level cache; rows that are converted in the first, if the kernel is low.
  ptrdiff_t columns = most(((ptrdiff_t)1 << 19) / bytes, 512 / t);
  if (image.type != type_of<S> && kh < 8) columns = 2048 / (ptrdiff_t)sizeof(S) / t;
  // Strips of whole blocks, none much smaller than the others.
  const ptrdiff_t strips = (x1 - x0 + columns - 1) / columns;
  columns = round_up((x1 - x0 + strips - 1) / strips, 64);
  // Measured: 1.1 to 1.4 times as fast from 16 MB on.
  const bool streamed = (double)result.rows * (double)result.columns * (double)t * sizeof(S) > 12e6;
  for (ptrdiff_t x = x0; x < x1; x += columns)
    separable_columns<S>(job, image, result, y0, y1, x, least(x + columns, x1), passes, streamed);
  if (streamed) fence();
}

}  // namespace KF_SET
