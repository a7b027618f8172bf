// Sliding products. A tile of sums stays in registers while rows of pixels pass by; every row is loaded once for all
// the output rows of the tile that it reaches. The sum of an output takes its products in the order of the kernel,
// channel by channel, row by row, each step one fused multiply-add: no tile, thread or place changes a bit.
#pragma once
#include "array.h"
#include "finish.h"
#include "rows.h"
#include "simd.h"

namespace KF_SET {

// What tiles need to know: rows of pixels, `per_channel` of them for every channel, and where taps and weights lie.
template <class S> struct Slide {
  const S* const* rows;
  ptrdiff_t per_channel, channels;
  const S* weights;        // of the output at hand: channels × kh × kw
  ptrdiff_t kh, kw;
  ptrdiff_t step;          // elements between taps, where columns have no stride
  const ptrdiff_t* taps;   // elements from the first tap to each
  ptrdiff_t row_taps;      // rows between taps, for tiles of one row
  ptrdiff_t next_weights;  // from one output channel to the next
  bool in_parts;           // long sums in float32
  S* state;                // of rolling tiles: sums that the next rows of outputs go on with
  bool fresh;              // there are none yet
};

// A row of pixels feeds rows [First, Last) of the tile; `w` points at its weights for row 0 of the tile.
template <class S, int R, int V, int First, int Last, int KW>
KF_INLINE void feed(vec<S> (&sum)[R][V], const S* x, const S* w, ptrdiff_t columns, ptrdiff_t step) {
  auto tap = [&](ptrdiff_t b, ptrdiff_t kw) __attribute__((always_inline)) {
    if constexpr (Last - First < V) {
      // Fewer weights than pixels: they are what stays in registers.
      vec<S> weight[Last - First];
      KF_UNROLL for (int y = First; y < Last; y++) weight[y - First] = splat(w[b - y * kw]);
      KF_UNROLL for (int v = 0; v < V; v++) {
        const vec<S> p = load(x + v * lanes<S>);
        KF_UNROLL for (int y = First; y < Last; y++) sum[y][v] = fma(weight[y - First], p, sum[y][v]);
      }
    } else {
      vec<S> p[V];
      KF_UNROLL for (int v = 0; v < V; v++) p[v] = load(x + v * lanes<S>);
      KF_UNROLL for (int y = First; y < Last; y++) {
        const vec<S> weight = splat(w[b - y * kw]);
        KF_UNROLL for (int v = 0; v < V; v++) sum[y][v] = fma(weight, p[v], sum[y][v]);
      }
    }
    x += step;
  };
  // Longer rows are not written out: compilers would keep their weights on the stack.
  if constexpr (KW > 0 && KW <= 3) {
    KF_UNROLL for (ptrdiff_t b = 0; b < KW; b++) tap(b, KW);
  } else if constexpr (KW > 0) {
    KF_ROLLED for (ptrdiff_t b = 0; b < KW; b++) tap(b, KW);
  } else {
    KF_ROLLED for (ptrdiff_t b = 0; b < columns; b++) tap(b, columns);
  }
}

// Kernels of any size: rows above the tile's last, full rows, rows below the kernel's first.
template <class S, int R, int V, int I>
KF_INLINE void head(vec<S> (&sum)[R][V], const S* const* rows, ptrdiff_t x, const S* w, const Slide<S>& k) {
  if constexpr (I > 0) head<S, R, V, I - 1>(sum, rows, x, w, k);
  feed<S, R, V, 0, I + 1, 0>(sum, rows[I] + x, w + I * k.kw, k.kw, k.step);
}
template <class S, int R, int V, int I>
KF_INLINE void tail(vec<S> (&sum)[R][V], const S* const* rows, ptrdiff_t x, const S* w, const Slide<S>& k) {
  if constexpr (I > 1) tail<S, R, V, I - 1>(sum, rows, x, w, k);
  feed<S, R, V, I, R, 0>(sum, rows[k.kh - 1 + I] + x, w + (k.kh - 1 + I) * k.kw, k.kw, k.step);
}
// Kernels of K × K, every row written out: tiles may be higher than they are.
template <class S, int R, int V, int K, int I>
KF_INLINE void written_out(vec<S> (&sum)[R][V], const S* const* rows, ptrdiff_t x, const S* w, ptrdiff_t step) {
  if constexpr (I > 0) written_out<S, R, V, K, I - 1>(sum, rows, x, w, step);
  feed<S, R, V, (I >= K ? I - K + 1 : 0), (I + 1 < R ? I + 1 : R), K>(sum, rows[I] + x, w + I * K, K, step);
}

// With `Parts`, long sums that are rounded to integers: parts of at most `part_rows` rows are summed from 0 and then
// added, which keeps the error of float32 small. The head and the tail are parts of their own.
using kf::part_rows;
template <class S, int R, int V, int K, bool Parts>
KF_INLINE void sum_tile(vec<S> (&sum)[R][V], const Slide<S>& k, ptrdiff_t x) {
  vec<S> total[Parts ? R : 1][V];
  KF_UNROLL for (int y = 0; y < R; y++) KF_UNROLL for (int v = 0; v < V; v++) sum[y][v] = vec<S>{};
  if constexpr (Parts) std::memset(total, 0, sizeof total);
  KF_ROLLED for (ptrdiff_t c = 0; c < k.channels; c++) {
    const S* const* rows = k.rows + c * k.per_channel;
    const S* w = k.weights + c * k.kh * k.kw;
    if constexpr (K > 0) {
      written_out<S, R, V, K, R + K - 2>(sum, rows, x, w, k.step);
    } else {
      if constexpr (R > 1) head<S, R, V, R - 2>(sum, rows, x, w, k);
      for (ptrdiff_t r = R - 1;;) {
        if constexpr (Parts) {
          KF_UNROLL for (int y = 0; y < R; y++)
            KF_UNROLL for (int v = 0; v < V; v++) {
              total[y][v] += sum[y][v];
              sum[y][v] = vec<S>{};
            }
        }
        if (r >= k.kh) break;
        const ptrdiff_t end = Parts ? least(r + part_rows, k.kh) : k.kh;
        KF_ROLLED for (; r < end; r++) feed<S, R, V, 0, R, 0>(sum, rows[r] + x, w + r * k.kw, k.kw, k.step);
        if (!Parts) break;
      }
      if constexpr (R > 1) tail<S, R, V, R - 1>(sum, rows, x, w, k);
    }
  }
  if constexpr (Parts) {
    KF_UNROLL for (int y = 0; y < R; y++)
      KF_UNROLL for (int v = 0; v < V; v++) sum[y][v] += total[y][v];
  }
}

// Tiles of one row and several output channels: for layers, strides and dilations.
template <class S, int O, int V> KF_INLINE void sum_outputs(vec<S> (&sum)[O][V], const Slide<S>& k, ptrdiff_t x) {
  KF_UNROLL for (int o = 0; o < O; o++) KF_UNROLL for (int v = 0; v < V; v++) sum[o][v] = vec<S>{};
  const S* w = k.weights;
  KF_ROLLED for (ptrdiff_t c = 0; c < k.channels; c++)
    KF_ROLLED for (ptrdiff_t a = 0; a < k.kh; a++) {
      const S* row = k.rows[c * k.per_channel + a * k.row_taps] + x;
      KF_ROLLED for (ptrdiff_t b = 0; b < k.kw; b++, w++) {
        vec<S> p[V];
        KF_UNROLL for (int v = 0; v < V; v++) p[v] = load(row + k.taps[b] + v * lanes<S>);
        KF_UNROLL for (int o = 0; o < O; o++) {
          const vec<S> weight = splat(w[o * k.next_weights]);
          KF_UNROLL for (int v = 0; v < V; v++) sum[o][v] = fma(weight, p[v], sum[o][v]);
        }
      }
    }
}

// Rolling tiles, for kernels of K × K: as many rows of sums as the kernel has rows, in turns. Every row of pixels feeds all
// of them, which ends one; no row of pixels is read twice, and no register waits at the ends of a tile.
template <class S, int K, int V, int P>
KF_INLINE void roll_row(vec<S> (&sum)[K][V], const S* x, const S* w, ptrdiff_t step) {
  auto tap = [&](ptrdiff_t b) __attribute__((always_inline)) {
    if constexpr (K < V) {
      vec<S> weight[K];
      KF_UNROLL for (int s = 0; s < K; s++) weight[s] = splat(w[(P - s + K) % K * K + b]);
      KF_UNROLL for (int v = 0; v < V; v++) {
        const vec<S> p = load(x + v * lanes<S>);
        KF_UNROLL for (int s = 0; s < K; s++) sum[s][v] = fma(weight[s], p, sum[s][v]);
      }
    } else {
      vec<S> p[V];
      KF_UNROLL for (int v = 0; v < V; v++) p[v] = load(x + v * lanes<S>);
      KF_UNROLL for (int s = 0; s < K; s++) {
        const vec<S> weight = splat(w[(P - s + K) % K * K + b]);
        KF_UNROLL for (int v = 0; v < V; v++) sum[s][v] = fma(weight, p[v], sum[s][v]);
      }
    }
    x += step;
  };
  if constexpr (K <= 3) {
    KF_UNROLL for (ptrdiff_t b = 0; b < K; b++) tap(b);
  } else {
    KF_ROLLED for (ptrdiff_t b = 0; b < K; b++) tap(b);
  }
}

// The rows before the first output; sums of outputs that are not wanted begin again.
template <class S, int K, int V, int P>
KF_INLINE void roll_in(vec<S> (&sum)[K][V], const Slide<S>& k, ptrdiff_t x) {
  if constexpr (P > 0) roll_in<S, K, V, P - 1>(sum, k, x);
  roll_row<S, K, V, P>(sum, k.rows[P] + x, k.weights, k.step);
  KF_UNROLL for (int v = 0; v < V; v++) sum[P + 1][v] = vec<S>{};
}

// Where a strip of tiles is stored: `y` elements from one row of it (or output channel) to the next.
template <class S> struct Target {
  S* to;
  ptrdiff_t y;
  const S* bias;    // of the outputs, or null
  bool streamed;
};

// Tiles for columns [x0, x1), at least one tile wide; the last is moved inwards.
template <class S, int R, int V, int K, int O>
static void strip(const Slide<S>& k, ptrdiff_t x0, ptrdiff_t x1, const Target<S>& target) {
  constexpr int rows = O ? O : R, width = V * lanes<S>;
  constexpr bool can_part = K == 0 && sizeof(S) == 4 && !floats_only;
  for (ptrdiff_t x = x0; x < x1; x += width) {
    const ptrdiff_t at = least(x, x1 - width);
    vec<S> sum[rows][V];
    if constexpr (O > 0) sum_outputs<S, O, V>(sum, k, at);
    else if (can_part && k.in_parts) sum_tile<S, R, V, K, can_part>(sum, k, at);
    else sum_tile<S, R, V, K, false>(sum, k, at);
    if (target.bias) {
      KF_UNROLL for (int y = 0; y < rows; y++) {
        const vec<S> bias = splat(target.bias[O ? y : 0]);
        KF_UNROLL for (int v = 0; v < V; v++) sum[y][v] += bias;
      }
    }
    S* to = target.to + at;
    // Not beside a tile that is moved inwards: it would wait for what was streamed.
    if (target.streamed && (x + width == x1 || x + 2 * width <= x1)) {
      KF_UNROLL for (int y = 0; y < rows; y++) KF_UNROLL for (int v = 0; v < V; v++) stream(to + y * target.y + v * lanes<S>, sum[y][v]);
    } else {
      KF_UNROLL for (int y = 0; y < rows; y++) KF_UNROLL for (int v = 0; v < V; v++) store(to + y * target.y + v * lanes<S>, sum[y][v]);
    }
  }
}

// K rows of outputs from row y on; the first of their last rows of pixels is row y + K - 1, of phase K - 1.
template <class S, int K, int V, int I>
KF_INLINE void roll_out(vec<S> (&sum)[K][V], const Slide<S>& k, ptrdiff_t x, ptrdiff_t y, const Target<S>& target, bool streamed) {
  if constexpr (I > 0) roll_out<S, K, V, I - 1>(sum, k, x, y, target, streamed);
  roll_row<S, K, V, (I + K - 1) % K>(sum, k.rows[y + I + K - 1] + x, k.weights, k.step);
  S* to = target.to + (y + I) * target.y + x;
  KF_UNROLL for (int v = 0; v < V; v++) {
    vec<S> one = sum[I][v];
    if (target.bias) one += splat(*target.bias);
    if (streamed) stream(to + v * lanes<S>, one);
    else store(to + v * lanes<S>, one);
    sum[I][v] = vec<S>{};
  }
}

// B rows of outputs, a multiple of K, for columns [x0, x1).
template <class S, int K, int V, int B>
static void roll(const Slide<S>& k, ptrdiff_t x0, ptrdiff_t x1, const Target<S>& target) {
  static_assert(B % K == 0);
  constexpr int width = V * lanes<S>;
  S* state = k.state;
  for (ptrdiff_t x = x0; x < x1; x += width, state += K * width) {
    const ptrdiff_t at = least(x, x1 - width);
    vec<S> sum[K][V];
    if (k.fresh) {
      KF_UNROLL for (int s = 0; s < K; s++) KF_UNROLL for (int v = 0; v < V; v++) sum[s][v] = vec<S>{};
      roll_in<S, K, V, K - 2>(sum, k, at);
    } else {
      KF_UNROLL for (int s = 0; s < K; s++) KF_UNROLL for (int v = 0; v < V; v++) sum[s][v] = load(state + (s * V + v) * lanes<S>);
    }
    const bool streamed = target.streamed && (x + width == x1 || x + 2 * width <= x1);
    KF_ROLLED for (ptrdiff_t y = 0; y < B; y += K) roll_out<S, K, V, K - 1>(sum, k, at, y, target, streamed);
    KF_UNROLL for (int s = 0; s < K; s++) KF_UNROLL for (int v = 0; v < V; v++) store(state + (s * V + v) * lanes<S>, sum[s][v]);
  }
}

template <class S> struct Tile {
  int rows, outputs;  // one of them is 1
  ptrdiff_t width;    // elements
  void (*run)(const Slide<S>&, ptrdiff_t, ptrdiff_t, const Target<S>&);
  void (*run_narrow)(const Slide<S>&, ptrdiff_t, ptrdiff_t, const Target<S>&);  // a register wide, for ends of rows
  bool rolls = false;
};
template <class S, int R, int V, int K> constexpr Tile<S> row_tile() {
  return {R, 1, V * lanes<S>, strip<S, R, V, K, 0>, strip<S, R, 1, K, 0>};
}
template <class S, int K, int V, int B> constexpr Tile<S> rolling_tile() {
  return {B, 1, V * lanes<S>, roll<S, K, V, B>, roll<S, K, 1, B>, true};
}
template <class S, int O, int V> constexpr Tile<S> output_tile() {
  return {1, O, V * lanes<S>, strip<S, 1, V, 0, O>, strip<S, 1, 1, 0, O>};
}

// Shapes of tiles as measured: sums in most registers, the rest for pixels and a weight. `slides`: rows of pixels are
// shared by rows of outputs; else by output channels.
template <class S>
static Tile<S> tile_for(ptrdiff_t kh, ptrdiff_t kw, ptrdiff_t outputs, bool slides, bool rolls, ptrdiff_t width, ptrdiff_t height) {
  constexpr bool many = registers == 32;
  const bool narrow = width <= lanes<S>;
  if (floats_only) outputs = 1;
  if (!slides) {
    if (narrow) return outputs >= 4 ? output_tile<S, 4, 1>() : output_tile<S, 1, 1>();
    if (outputs >= 4) return output_tile<S, 4, many ? 6 : 3>();
    if (outputs == 3) return output_tile<S, 3, many ? 8 : 4>();
    if (outputs == 2) return output_tile<S, 2, many ? 10 : 5>();
    return output_tile<S, 1, many ? 8 : 6>();
  }
  if (narrow) {
    if (kh >= 6 && height >= 4) return row_tile<S, 6, 1, 0>();
    if (kh >= 2 && height >= 2) return row_tile<S, 2, 1, 0>();
    return row_tile<S, 1, 1, 0>();
  }
  // Tiles wider than the results would sum in vain.
  constexpr int R = 6, V = many ? 4 : 2;
  const bool few = width < V * lanes<S>, some = width < 2 * V * lanes<S>;
  if (kh == kw && rolls && height >= 24 && !few) {
    if (kh == 3 && !many) return rolling_tile<S, 3, 4, 12>();
    if (kh == 5) return rolling_tile<S, 5, many ? 4 : 2, 10>();
    if (kh == 7 && many) return rolling_tile<S, 7, 3, 14>();
  }
  if (kh == kw && height >= 3) {
    if (kh == 3) return few ? row_tile<S, R, V / 2, 3>() : row_tile<S, R, V, 3>();
    if (kh == 5) return few ? row_tile<S, R, V / 2, 5>() : row_tile<S, R, V, 5>();
    if (kh == 7) return few ? row_tile<S, R, V / 2, 7>() : row_tile<S, R, V, 7>();
  }
  if (kh >= 6 && height >= 3) return few ? row_tile<S, R, V / 2, 0>() : row_tile<S, R, V, 0>();
  if (kh >= 4 && height >= 3) return some ? row_tile<S, 4, V, 0>() : row_tile<S, 4, many ? 6 : 3, 0>();
  if (kh >= 2 && height >= 2) return some ? row_tile<S, 2, V, 0>() : row_tile<S, 2, many ? 8 : 5, 0>();
  if (few) return row_tile<S, 1, V / 2, 0>();
  return some ? row_tile<S, 1, V, 0>() : row_tile<S, 1, many ? 8 : 6, 0>();
}

// Rows of the extended image that a range of output columns reads, in a ring: row q of every channel in slot q mod
// `slots`. In place, the ring holds only the strips at both ends of a row.
template <class S> struct Source {
  Row<S> row;
  ptrdiff_t channels, elements, reach;   // channels; elements of outputs, and how far windows reach beyond them
  ptrdiff_t pixel;                       // column of the image that element 0 lies at, before the border
  bool in_place;
  ptrdiff_t left, right;                 // tiles in [0, left) and from right on read the strips
  ptrdiff_t slots, pitch, phases, phase; // slots and their elements; phases of a column stride, and elements of one
  ptrdiff_t padded;                      // elements of a row that tiles read
  S *ring, *blank;
  ptrdiff_t first_row, row_step;         // ring row q is row first_row + q * row_step of the image, before the border
  ptrdiff_t next, slot;                  // the first ring row that was not read yet, and where it goes

  ptrdiff_t right_strip() const { return left ? round_up(left + reach, lanes<S>) : 0; }
  ptrdiff_t right_begin() const { return right / row.image.together * row.image.together; }

  void read(ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t t = row.image.together;
    if (next < begin) {  // rows that no window reads are passed over
      next = begin;
      slot = begin % slots;
    }
    for (; next < end; next++, slot = slot + 1 == slots ? 0 : slot + 1) {
      const ptrdiff_t at = kf::position(first_row + next * row_step, row.image.rows, row.border);
      for (ptrdiff_t c = 0; c < channels; c++) {
        S* to = ring + (c * slots + slot) * pitch;
        if (!in_place) {
          for (ptrdiff_t p = 0; p < phases; p++, to += phase) {
            row.extend(to, c, at, pixel + p, elements + reach, phases);
            for (ptrdiff_t i = elements + reach; i < padded; i++) to[i] = 0;
          }
        } else if (at >= 0) {
          if (left) row.extend(to, c, at, pixel, left + reach, 1);
          if (right < elements)
            row.extend(to + right_strip(), c, at, pixel + right_begin() / t, elements - right_begin() + reach, 1);
        }
      }
    }
  }

  // Fills in where element 0 of the rows in the ring lies, as tiles in the middle and at the ends see it.
  void point(const S** inner, const S** at_left, const S** at_right) const {
    const ptrdiff_t q = next - slots;
    for (ptrdiff_t c = 0, index = 0; c < channels; c++)
      for (ptrdiff_t i = 0, place = slot; i < slots; i++, index++, place = place + 1 == slots ? 0 : place + 1) {
        const S* strips = ring + (c * slots + place) * pitch;
        inner[index] = strips;
        if (__builtin_expect(!in_place, 1)) continue;
        const ptrdiff_t at = kf::position(first_row + (q + i) * row_step, row.image.rows, row.border);
        if (at < 0) {
          inner[index] = at_left[index] = at_right[index] = blank;
          continue;
        }
        inner[index] = (const S*)row.line(c, at) + pixel * row.image.together;
        at_left[index] = strips;
        at_right[index] = strips + right_strip() - right_begin();
      }
  }
};

// Sums in doubt, to be taken again in float64 from the rows of pixels that the tile has read.
struct Doubtful {
  ptrdiff_t line, x, output;
  std::byte* to;
};
static __attribute__((noinline)) void settle(const kf::Correlation& job, const Slide<float>& k, const Doubtful* all, ptrdiff_t n, kf::Type type) {
  // Two registers at a time, of one output channel: each step of a sum waits for the one before.
  constexpr int together = 2 * lanes<double>;
  for (ptrdiff_t first = 0, count; first < n; first += count) {
    const ptrdiff_t output = all[first].output;
    for (count = 1; count < together && first + count < n && all[first + count].output == output;) count++;
    vec<double> sum[2] = {};
    const double* weight = job.weights + output * k.next_weights;
    for (ptrdiff_t c = 0; c < k.channels; c++)
      for (ptrdiff_t a = 0; a < k.kh; a++) {
        const float* rows[together];
        for (ptrdiff_t i = 0; i < together; i++) {
          const Doubtful& one = all[first + (i < count ? i : 0)];
          rows[i] = k.rows[c * k.per_channel + one.line + a * k.row_taps] + one.x;
        }
        KF_ROLLED for (ptrdiff_t b = 0; b < k.kw; b++, weight++)
          for (int i = 0; i < 2; i++) sum[i] = fma(splat(*weight), gather(rows + i * lanes<double>, k.taps[b]), sum[i]);
      }
    for (ptrdiff_t i = 0; i < count; i++)
      store_again(job, output, sum[i / lanes<double>][i % lanes<double>], type, all[first + i].to);
  }
}

KF_INLINE const float* weights_of(const kf::Correlation& k, float) { return k.single_weights; }
KF_INLINE const double* weights_of(const kf::Correlation& k, double) { return k.weights; }
KF_INLINE const float* bias_of(const kf::Correlation& k, float) { return k.single_bias; }
KF_INLINE const double* bias_of(const kf::Correlation& k, double) { return k.bias; }

// The next part of scratch memory.
template <class T> KF_INLINE T* take(std::byte*& memory, ptrdiff_t n) {
  T* p = (T*)memory;
  memory += round_up(n * (ptrdiff_t)sizeof(T), 64);
  return p;
}

// Results of one group of channels in columns [x0, x1), few enough that rows of pixels stay in the cache.
template <class S>
static void direct_columns(const kf::Correlation& job, const kf::Planes& image, const kf::Planes& result, ptrdiff_t group,
                           ptrdiff_t y0, ptrdiff_t y1, ptrdiff_t x0, ptrdiff_t x1, const Tile<S>& tile, bool slides,
                           bool streamed) {
  const ptrdiff_t t = image.together, kh = job.rows.size, kw = job.columns.size;
  constexpr ptrdiff_t size = sizeof(S);
  const ptrdiff_t channels = job.channels, outputs = job.outputs / job.groups;
  const ptrdiff_t elements = (x1 - x0) * t, width = most(elements, tile.width);
  const ptrdiff_t phases = job.columns.stride, span = job.columns.span() - 1;
  const ptrdiff_t reach = phases == 1 ? span * t : span / phases;
  const ptrdiff_t pixel = x0 * phases - job.columns.before;

  // In place: rows of the right type, with room for a tile between the strips at their ends. Short rows are copied
  // whole: that takes less time than their strips.
  constexpr ptrdiff_t short_row = (KF_BYTES == 64 ? 4096 : 1024) / size;
  const ptrdiff_t beyond = pixel * t + elements + reach - image.columns * t;
  const ptrdiff_t left = pixel < 0 ? round_up(-pixel * t, lanes<S>) : 0;
  const ptrdiff_t right = elements - (beyond > 0 ? round_up(beyond, lanes<S>) : 0);
  const bool contiguous = image.columns <= 1 || image.column == size * t;
  const bool in_place = image.type == type_of<S> && contiguous && phases == 1 && right - left >= tile.width && (elements > short_row || (!left && right == elements));
  const ptrdiff_t strips = (left ? round_up(left + reach, lanes<S>) : 0) + (right < elements ? elements - right + t + reach : 0);
  const ptrdiff_t padded = width + reach;
  ptrdiff_t phase = round_up(padded, lanes<S>);
  ptrdiff_t pitch = in_place ? round_up(strips, lanes<S>) : phases * phase;
  // Slots a power of two apart would share few sets of the cache.
  if (pitch && pitch * size % 1024 == 0) pitch += 64 / size;

  const ptrdiff_t apart = slides ? job.rows.dilation : 1, row_taps = slides ? 1 : job.rows.dilation;
  const ptrdiff_t need = slides ? tile.rows + kh - 1 : (kh - 1) * row_taps + 1;
  const bool stored = is_stored<S>(result);
  const ptrdiff_t lines = most(tile.rows, tile.outputs), block = round_up(2048 / size, tile.width), sums_pitch = block + lanes<S>;
  constexpr ptrdiff_t most_doubtful = 512;
  const bool has_blank = in_place && job.border == kf::Border::constant;
  // Of every output: the tiles of three ranges of columns, each up to a tile longer.
  const ptrdiff_t states = tile.rolls ? kh * (elements + 4 * tile.width) : 0;

  std::byte* memory = kf::scratch((size_t)(3 * round_up(channels * need * (ptrdiff_t)sizeof(void*), 64) +
                                           round_up(kw * (ptrdiff_t)sizeof(ptrdiff_t), 64) + round_up(channels * need * pitch * size, 64) +
                                           round_up(has_blank ? padded * size : 0, 64) + round_up(lines * sums_pitch * size, 64) + round_up(most_doubtful * (ptrdiff_t)sizeof(Doubtful), 64) + outputs * states * size));
  const S** inner = take<const S*>(memory, channels * need);
  const S** at_left = take<const S*>(memory, channels * need);
  const S** at_right = take<const S*>(memory, channels * need);
  ptrdiff_t* taps = take<ptrdiff_t>(memory, kw);
  S* ring = take<S>(memory, channels * need * pitch);
  S* blank = take<S>(memory, has_blank ? padded : 0);
  S* sums = take<S>(memory, lines * sums_pitch);
  Doubtful* doubtful = take<Doubtful>(memory, most_doubtful);
  ptrdiff_t doubts = 0;
  S* state = take<S>(memory, outputs * states);
  for (ptrdiff_t b = 0; b < kw; b++) {
    const ptrdiff_t at = b * job.columns.dilation;
    taps[b] = phases == 1 ? at * t : at % phases * phase + at / phases;
  }
  // A constant beside float32 pixels is one of them.
  const bool narrowed = image.type == kf::Type::f32 || image.type == kf::Type::f16 || image.type == kf::Type::bf16;
  const S cval = narrowed ? (S)(float)job.cval : (S)job.cval;
  for (ptrdiff_t i = 0; i < (has_blank ? padded : 0); i++) blank[i] = cval;

  kf::Planes planes = image;
  planes.data += group * channels * image.channel;
  Slide<S> slide{inner, need, channels, nullptr, kh, kw, job.columns.dilation * t, taps, row_taps, channels * kh * kw, job.in_parts, nullptr, true};
  const S *weights = weights_of(job, S{}), *bias = bias_of(job, S{});
  const ptrdiff_t gap = t > 1 ? kf::size_of(result.type) : result.column;

  // Rows of outputs that lie a dilation apart slide over rows of pixels that do.
  for (ptrdiff_t sequence = 0; sequence < apart && y0 + sequence < y1; sequence++) {
    const ptrdiff_t first = y0 + sequence, count = (y1 - first + apart - 1) / apart, high = least(tile.rows, count);
    Source<S> source{{planes, job.border, cval}, channels, elements, reach, pixel, in_place, left, right, need, pitch, phases, phase, padded, ring, blank, first * job.rows.stride - job.rows.before, apart, 0, 0};
    for (ptrdiff_t i = 0; i < count; i += tile.rows) {
      const ptrdiff_t y = least(i, count - high), q = y * (slides ? 1 : job.rows.stride);
      source.read(q, q + need);
      source.point(inner, at_left, at_right);
      slide.fresh = i == 0 || y != i;
      for (ptrdiff_t o = 0; o < outputs; o += tile.outputs) {
        const ptrdiff_t output = group * outputs + least(o, most(outputs - tile.outputs, 0));
        slide.weights = weights + output * slide.next_weights;
        slide.state = state + (output - group * outputs) * states;
        std::byte* base = result.data + output * result.channel + (first + y * apart) * result.row + x0 * result.column;
        const ptrdiff_t down = tile.outputs > 1 ? result.channel : apart * result.row;
        const bool whole = stored && high == tile.rows && elements >= tile.width && down % size == 0;
        const Target<S> to_result{(S*)base, down / size, bias ? bias + output : nullptr,
                                  streamed && (size_t)base % KF_BYTES == 0 && down % KF_BYTES == 0};
        // At least one tile of columns [x, end), to the result or by way of a block of sums.
        auto tiles = [&](const S* const* rows, ptrdiff_t x, ptrdiff_t end, bool narrow) {
          slide.rows = rows;
          const auto run = narrow ? tile.run_narrow : tile.run;
          const ptrdiff_t wide = narrow ? (ptrdiff_t)lanes<S> : tile.width;
          if (whole) {
            run(slide, x, end, to_result);
            slide.state += kh * round_up(end - x, wide);
            return;
          }
          for (ptrdiff_t at = x; at < end; at += block) {
            const ptrdiff_t stop = least(at + block, end), start = least(at, stop - wide);
            run(slide, start, stop, {sums - start, sums_pitch, nullptr, false});
            slide.state += kh * round_up(stop - start, wide);
            const ptrdiff_t have = least(stop, elements) - start;
            for (ptrdiff_t line = 0; line < (tile.outputs > 1 ? tile.outputs : high); line++) {
              const ptrdiff_t own = output + (tile.outputs > 1 ? line : 0);
              std::byte* to = base + line * down + start * gap;
              if (!finish<S>(job, own, sums + line * sums_pitch, have, result.type, to, gap)) continue;
              if constexpr (size == 4)
                each_doubtful(job, job.bias ? (float)job.bias[own] : 0.f, sums + line * sums_pitch, have, [&](ptrdiff_t i) {
                  if (doubts == most_doubtful) settle(job, slide, doubtful, doubts, result.type), doubts = 0;
                  doubtful[doubts++] = {tile.outputs > 1 ? 0 : line, start + i, own, to + i * gap};
                });
            }
          }
        };
        if (!in_place) {
          tiles(inner, 0, width, false);
        } else {
          if (left) tiles(at_left, 0, left, true);
          tiles(inner, left, right, false);
          if (right < elements) tiles(at_right, right, elements, true);
        }
      }
      if constexpr (size == 4)
        if (doubts) settle(job, slide, doubtful, doubts, result.type), doubts = 0;
    }
  }
}

template <class S>
static void direct_sums(const kf::Correlation& job, const kf::Planes& image, const kf::Planes& result, ptrdiff_t y0,
                        ptrdiff_t y1, ptrdiff_t x0, ptrdiff_t x1) {
  const ptrdiff_t kh = job.rows.size, outputs = job.outputs / job.groups, t = image.together;
  // Kernels over one channel, and single outputs, share rows between rows of outputs; other layers between outputs.
  const bool slides = job.rows.stride == 1 && job.columns.stride == 1 && (outputs == 1 || job.channels == 1);
  const bool rolls = slides && job.channels == 1 && outputs <= 16;
  const ptrdiff_t height = slides ? (y1 - y0 + job.rows.dilation - 1) / job.rows.dilation : y1 - y0;
  const Tile<S> tile = tile_for<S>(kh, job.columns.size, outputs, slides, rolls, (x1 - x0) * t, height);
  const ptrdiff_t bytes = (job.channels * (tile.rows + kh - 1) + tile.rows) * (ptrdiff_t)sizeof(S) * t;
  ptrdiff_t columns = most(most(((ptrdiff_t)1 << 19) / bytes, 8 * tile.width / t), 1);
  // Chunks of whole tiles, none much smaller than the others.
  const ptrdiff_t chunks = (x1 - x0 + columns - 1) / columns;
  columns = round_up((x1 - x0 + chunks - 1) / chunks, tile.width);
  const double whole = (double)result.rows * (double)result.columns * (double)t * (double)job.outputs * sizeof(S);
  const bool streamed = whole > 32e6;
  for (ptrdiff_t group = 0; group < job.groups; group++)
    for (ptrdiff_t x = x0; x < x1; x += columns)
      direct_columns<S>(job, image, result, group, y0, y1, x, least(x + columns, x1), tile, slides, streamed);
  if (streamed) fence();
}

}  // namespace KF_SET
