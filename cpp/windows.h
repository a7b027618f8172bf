// Products of the windows at chosen positions. Pixels of many windows are packed side by side, shifted: a row for each
// pixel of the window, one of ones and one of what the second image has there. Products of rows are all the sums.
#pragma once
#include "array.h"
#include "lags.h"
#include "rows.h"
#include "simd.h"

namespace KF_SET {

using kf::Windows;

#if KF_BYTES == 64
KF_INLINE vec<int> add_products(vec<std::int16_t> a, vec<std::int16_t> b, vec<int> s) {
  return (vec<int>)_mm512_dpwssd_epi32((__m512i)s, (__m512i)a, (__m512i)b);
}
#endif

// Rows of either side of a tile of products, whose sums stay in registers.
constexpr int tile_rows = registers == 32 ? 4 : 3, tile_columns = registers == 32 ? 6 : 4;

// Windows that are packed at once, fewer of large ones, for the second-level cache; 2 * 255 * 255 * 1024 / 4 < 2**31.
template <class Z> constexpr ptrdiff_t most_windows = 2048 / sizeof(Z);
template <class Z> constexpr ptrdiff_t window_pitch = odd_lines<Z>(most_windows<Z>);

// Adds the products of rows `i`, ... with rows `j`, ... to the entries of `sums`, q × q, above the diagonal.
template <class Z, class S>
static void window_tile(const Z* z, ptrdiff_t n, ptrdiff_t i, ptrdiff_t j, double* sums, ptrdiff_t q) {
  constexpr int R = tile_rows, C = tile_columns;
  const Z *a = z + i * window_pitch<Z>, *b = z + j * window_pitch<Z>;
  vec<S> s[R][C];
  KF_UNROLL for (int r = 0; r < R; r++)
    KF_UNROLL for (int c = 0; c < C; c++) s[r][c] = vec<S>{};
  KF_ROLLED for (ptrdiff_t x = 0; x < n; x += lanes<Z>) {
    vec<Z> right[C];
    KF_UNROLL for (int c = 0; c < C; c++) right[c] = load(b + c * window_pitch<Z> + x);
    KF_UNROLL for (int r = 0; r < R; r++) {
      const vec<Z> left = load(a + r * window_pitch<Z> + x);
      KF_UNROLL for (int c = 0; c < C; c++) s[r][c] = add_products(left, right[c], s[r][c]);
    }
  }
  double t[R][C];
  KF_UNROLL for (int r = 0; r < R; r++)
    KF_UNROLL for (int c = 0; c < C; c++) t[r][c] = total(s[r][c]);
  for (ptrdiff_t r = 0; r < least(R, q - i); r++)
    for (ptrdiff_t c = most(0, i + r - j); c < least(C, q - j); c++) sums[(i + r) * q + j + c] += t[r][c];
}

template <class Z> KF_INLINE void copy(Z* to, const Z* from, ptrdiff_t n) {
  ptrdiff_t i = 0;
  for (; i < n && n >= lanes<Z>; i += lanes<Z>) {
    i = least(i, n - lanes<Z>);
    store(to + i, load(from + i));
  }
  KF_ROLLED for (; i < n; i++) to[i] = from[i];
}

// n pixels from row y and column x on, less the shift.
template <class Z>
static void shifted(const Shifted& plane, ptrdiff_t y, ptrdiff_t x, ptrdiff_t n, Z* to) {
  const Planes& image = plane.planes;
  const std::byte* const from = image.data + y * image.row + x * image.column;
  if constexpr (Z(0.5) != 0) convert(image.type, to, from, n, image.column);
  else convert_type<Type::u8>(to, from, n, image.column);
  for (ptrdiff_t i = 0; i < n; i++) to[i] = (Z)(to[i] - (Z)plane.shift);
}

template <class Z, class S>
static void windows_in(const Windows& job, ptrdiff_t first, ptrdiff_t last, double* sums) {
  const ptrdiff_t each = job.rows * job.columns, p = job.count * each, q = p + 2, width = job.after.planes.columns;
  const ptrdiff_t all = q + tile_rows + tile_columns, most_at_once = p > 256 ? most_windows<Z> / 4 : most_windows<Z>;
  Z* const z = (Z*)scratch((size_t)(all * window_pitch<Z>) * sizeof(Z), 4);
  Z* const line = (Z*)scratch((size_t)(most_windows<Z> + job.columns + lanes<Z>) * sizeof(Z), 5);
  std::memset(z, 0, (size_t)(all * window_pitch<Z>) * sizeof(Z));
  for (ptrdiff_t i = 0; i < most_at_once; i++) z[p * window_pitch<Z> + i] = 1;

  ptrdiff_t n = 0;
  const auto add = [&] {
    const ptrdiff_t end = round_up(n, lanes<Z>);
    for (ptrdiff_t i = 0; i < q; i++)
      for (ptrdiff_t x = n; x < end; x++) z[i * window_pitch<Z> + x] = 0;
    for (ptrdiff_t i = 0; i < q; i += tile_rows)
      for (ptrdiff_t j = i; j < q; j += tile_columns) window_tile<Z, S>(z, end, i, j, sums, q);
    for (ptrdiff_t x = n; x < end; x++) z[p * window_pitch<Z> + x] = 1;
    n = 0;
  };
  for (ptrdiff_t y = first; y < last; y++) {
    const std::uint8_t* const chosen = (const std::uint8_t*)job.chosen + y * width;
    for (ptrdiff_t x = 0; x < width;) {
      const void* const next = std::memchr(chosen + x, 1, (size_t)(width - x));
      if (!next) break;
      x = (const std::uint8_t*)next - chosen;
      ptrdiff_t count = 1;
      while (x + count < width && chosen[x + count] && count < most_at_once - n) count++;
      for (ptrdiff_t i = 0; i < job.count; i++)
        for (ptrdiff_t r = 0; r < job.rows; r++) {
          shifted(job.before[i], y + r, x, count + job.columns - 1, line);
          Z* const to = z + (i * each + r * job.columns) * window_pitch<Z> + n;
          KF_ROLLED for (ptrdiff_t c = 0; c < job.columns; c++) copy(to + c * window_pitch<Z>, line + c, count);
        }
      shifted(job.after, y, x, count, z + (p + 1) * window_pitch<Z> + n);
      x += count;
      if ((n += count) == most_at_once) add();
    }
  }
  if (n) add();
}

static void windows(const Windows& job, ptrdiff_t first, ptrdiff_t last, double* sums) {
  if (all_bytes(job.before, job.count) && all_bytes(&job.after, 1))
    windows_in<std::int16_t, int>(job, first, last, sums);
  else
    windows_in<double, double>(job, first, last, sums);
}

}  // namespace KF_SET
