#include "small_fit.h"

namespace baseline {
void lags_of(const kf::Lags& job, std::ptrdiff_t first, std::ptrdiff_t last, double* sums);
}

namespace kf {
namespace {

using std::ptrdiff_t;

// Squares of singular values below this share of the largest are rounding errors.
constexpr double least_share = 1e-11;
// Multiply-adds for which the size is searched, where windows are summed one by one.
constexpr double search_products = 6e7;
// Signs of a nonlinear filter, as in learning/verdict.py.
constexpr double most_curve = 0.15, most_texture = 3, least_r2 = 0.9, half = 0.5, certain_r2 = 0.75, chance = 8;

double dot(const double* a, const double* b, ptrdiff_t n) {
  typedef double pair __attribute__((vector_size(16), aligned(8)));
  pair s[4] = {};
  ptrdiff_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int j = 0; j < 4; j++) s[j] += *(const pair*)(a + i + 2 * j) * *(const pair*)(b + i + 2 * j);
  const pair t = (s[0] + s[1]) + (s[2] + s[3]);
  double sum = t[0] + t[1];
  for (; i < n; i++) sum += a[i] * b[i];
  return sum;
}

Planes plane(const float* data, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t pitch) {
  return {(std::byte*)data, Type::f32, 1, rows, columns, 0, pitch * (ptrdiff_t)sizeof(float), (ptrdiff_t)sizeof(float)};
}

// Entries of one lag differ by a row or a column at each side of their rectangles: the first is summed by the engine,
// the others follow.
void gram_of(const Views& v, const Shape& s, const Part& part, double shift, Numbers& gram, Numbers& totals) {
  const ptrdiff_t kh = s.rows, kw = s.columns, p = kh * kw, rows = part.rows(), columns = part.columns();
  const ptrdiff_t width = columns + kw - 1, height = rows + kh - 1;
  const float* const first = v.before + (part.y0 - s.top) * v.columns + part.x0 - s.left;
  Numbers x((std::size_t)(width * height)), turned(x.size());
  for (ptrdiff_t r = 0; r < height; r++)
    for (ptrdiff_t c = 0; c < width; c++) turned[c * height + r] = x[r * width + c] = first[r * v.columns + c] - shift;

  auto entry = [&](ptrdiff_t ur, ptrdiff_t uc, ptrdiff_t vr, ptrdiff_t vc) -> double& {
    return gram[(ur * kw + uc) * p + vr * kw + vc];
  };
  const Shifted around{plane(first, height, width, v.columns), shift};
  Shifted anchors{plane(first, rows, columns, v.columns), shift};
  Numbers sums((std::size_t)p);
  Lags job{&anchors, &around, 1, 1, kh, kw};
  baseline::lags_of(job, 0, rows, sums.data());
  for (ptrdiff_t dr = 0; dr < kh; dr++)
    for (ptrdiff_t dc = 0; dc < kw; dc++) entry(0, 0, dr, dc) = sums[dr * kw + dc];
  for (ptrdiff_t dr = 1; dr < kh; dr++) {
    sums.assign((std::size_t)kw, 0);
    anchors.planes = plane(first + dr * v.columns, rows, columns, v.columns);
    job.rows = 1;
    baseline::lags_of(job, 0, rows, sums.data());
    for (ptrdiff_t c = 1; c < kw; c++) entry(0, c, dr, 0) = sums[c];
  }
  for (ptrdiff_t vr = 0; vr < kh; vr++)
    for (ptrdiff_t uc = 0; uc + 1 < kw; uc++)
      for (ptrdiff_t vc = vr ? 0 : uc; vc + 1 < kw; vc++) {
        const double *a = &turned[uc * height], *b = &turned[vc * height + vr];
        const ptrdiff_t n = columns * height;
        entry(0, uc + 1, vr, vc + 1) = entry(0, uc, vr, vc) - dot(a, b, rows) + dot(a + n, b + n, rows);
      }
  for (ptrdiff_t ur = 0; ur + 1 < kh; ur++)
    for (ptrdiff_t vr = ur; vr + 1 < kh; vr++)
      for (ptrdiff_t uc = 0; uc < kw; uc++)
        for (ptrdiff_t vc = vr == ur ? uc : 0; vc < kw; vc++) {
          const double *a = &x[ur * width + uc], *b = &x[vr * width + vc];
          const ptrdiff_t n = rows * width;
          entry(ur + 1, uc, vr + 1, vc) = entry(ur, uc, vr, vc) - dot(a, b, columns) + dot(a + n, b + n, columns);
        }
  for (ptrdiff_t i = 0; i < p; i++)
    for (ptrdiff_t j = 0; j < i; j++) gram[i * p + j] = gram[j * p + i];

  for (ptrdiff_t ur = 0; ur < kh; ur++)
    for (ptrdiff_t uc = 0; uc < kw; uc++) {
      double total = 0;
      if (!ur && !uc) {
        for (ptrdiff_t r = 0; r < rows; r++)
          for (ptrdiff_t c = 0; c < columns; c++) total += x[r * width + c];
      } else if (!ur) {
        total = totals[uc - 1];
        for (ptrdiff_t r = 0; r < rows; r++) total += turned[(uc - 1 + columns) * height + r] - turned[(uc - 1) * height + r];
      } else {
        total = totals[(ur - 1) * kw + uc];
        for (ptrdiff_t c = 0; c < columns; c++) total += x[(ur - 1 + rows) * width + uc + c] - x[(ur - 1) * width + uc + c];
      }
      totals[ur * kw + uc] = total;
    }
}

}  // namespace

Moments gather(const Views& v, const Shape& s, const Part& part, const unsigned char* counts, double before_shift,
               double after_shift, double products) {
  Moments m;
  const ptrdiff_t p = m.size = s.size();
  m.before_shift = before_shift;
  m.after_shift = after_shift;
  m.gram.assign((std::size_t)(p * p), 0);
  m.right.assign((std::size_t)p, 0);
  m.totals.assign((std::size_t)p, 0);
  const ptrdiff_t every = !counts ? 1 : (ptrdiff_t)((double)part.count() * (double)(p * p) / 2 / products) + 1;
  Numbers window((std::size_t)p);
  for (ptrdiff_t y = part.y0, at = 0; y < part.y1; y++)
    for (ptrdiff_t x = part.x0; x < part.x1; x++, at++) {
      if (counts && (!counts[y * v.after_columns + x] || at % every)) continue;
      const double value = v.after[y * v.after_columns + x] - after_shift;
      m.count++;
      m.after_sum += value;
      m.after_square += value * value;
      if (!counts) continue;
      for (ptrdiff_t a = 0, i = 0; a < s.rows; a++)
        for (ptrdiff_t b = 0; b < s.columns; b++, i++)
          window[i] = v.before[(y - s.top + a) * v.columns + x - s.left + b] - before_shift;
      for (ptrdiff_t i = 0; i < p; i++) {
        const double w = window[i];
        m.right[i] += w * value;
        m.totals[i] += w;
        double* const row = &m.gram[i * p];
        for (ptrdiff_t j = i; j < p; j++) row[j] += w * window[j];
      }
    }
  if (counts) {
    for (ptrdiff_t i = 0; i < p; i++)
      for (ptrdiff_t j = 0; j < i; j++) m.gram[i * p + j] = m.gram[j * p + i];
  } else {
    gram_of(v, s, part, before_shift, m.gram, m.totals);
    const Shifted after{
        plane(v.after + part.y0 * v.after_columns + part.x0, part.rows(), part.columns(), v.after_columns), after_shift};
    const Shifted before{plane(v.before + (part.y0 - s.top) * v.columns + part.x0 - s.left, part.rows() + s.rows - 1,
                               part.columns() + s.columns - 1, v.columns),
                         before_shift};
    baseline::lags_of({&after, &before, 1, 1, s.rows, s.columns}, 0, part.rows(), m.right.data());
  }
  return m;
}

namespace {

// The inverse of a positive definite matrix by its Cholesky factor; false where it has not full rank.
bool invert(const Numbers& matrix, ptrdiff_t n, Numbers& inverse) {
  Numbers l(matrix);
  for (ptrdiff_t j = 0; j < n; j++) {
    const double pivot = matrix[j * n + j] - dot(&l[j * n], &l[j * n], j);
    if (!(pivot > least_share * matrix[j * n + j])) return false;
    const double root = l[j * n + j] = std::sqrt(pivot);
    for (ptrdiff_t i = j + 1; i < n; i++) l[i * n + j] = (matrix[i * n + j] - dot(&l[i * n], &l[j * n], j)) / root;
  }
  // Columns of the factor's inverse, kept as rows.
  Numbers t((std::size_t)(n * n), 0);
  for (ptrdiff_t c = 0; c < n; c++)
    for (ptrdiff_t i = c; i < n; i++)
      t[c * n + i] = ((i == c) - dot(&l[i * n + c], &t[c * n + c], i - c)) / l[i * n + i];
  inverse.assign((std::size_t)(n * n), 0);
  for (ptrdiff_t i = 0; i < n; i++)
    for (ptrdiff_t j = i; j < n; j++) inverse[i * n + j] = inverse[j * n + i] = dot(&t[i * n + j], &t[j * n + j], n - j);
  return true;
}

// Eigenvalues on the diagonal of `a`, eigenvectors in the rows of `vectors`: Jacobi's rotations (Golub and Van Loan,
// Matrix Computations, section 8.5).
void diagonalise(Numbers& a, ptrdiff_t n, Numbers& vectors) {
  vectors.assign((std::size_t)(n * n), 0);
  for (ptrdiff_t i = 0; i < n; i++) vectors[i * n + i] = 1;
  for (int sweep = 0; sweep < 30; sweep++) {
    double off = 0, on = 0;
    for (ptrdiff_t i = 0; i < n; i++)
      for (ptrdiff_t j = 0; j < n; j++) (i == j ? on : off) += a[i * n + j] * a[i * n + j];
    if (off <= 1e-26 * on) return;
    for (ptrdiff_t p = 0; p < n; p++)
      for (ptrdiff_t q = p + 1; q < n; q++) {
        const double w = a[p * n + q];
        if (w == 0) continue;
        const double theta = (a[q * n + q] - a[p * n + p]) / (2 * w);
        const double t = (theta < 0 ? -1 : 1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (ptrdiff_t k = 0; k < n; k++) {
          const double x = a[p * n + k], y = a[q * n + k];
          a[p * n + k] = c * x - s * y, a[q * n + k] = s * x + c * y;
          const double d = vectors[p * n + k], e = vectors[q * n + k];
          vectors[p * n + k] = c * d - s * e, vectors[q * n + k] = s * d + c * e;
        }
        for (ptrdiff_t k = 0; k < n; k++) {
          const double x = a[k * n + p], y = a[k * n + q];
          a[k * n + p] = c * x - s * y, a[k * n + q] = s * x + c * y;
        }
      }
  }
}

double unexplained(const Moments& m, const Numbers& kernel) {
  double left = m.after_square;
  for (ptrdiff_t i = 0; i < m.size; i++)
    left += kernel[i] * (dot(&m.gram[i * m.size], kernel.data(), m.size) - 2 * m.right[i]);
  return left > 0 ? left : 0;
}

}  // namespace

Solution solve(const Moments& m) {
  Solution s;
  const ptrdiff_t n = m.size;
  s.rank = n;
  if (!invert(m.gram, n, s.inverse)) {
    Numbers values(m.gram), vectors;
    diagonalise(values, n, vectors);
    double largest = 0;
    for (ptrdiff_t i = 0; i < n; i++) largest = std::fmax(largest, values[i * n + i]);
    s.inverse.assign((std::size_t)(n * n), 0);
    for (ptrdiff_t e = 0; e < n; e++) {
      const double* v = &vectors[e * n];
      const double value = values[e * n + e];
      if (!(value > least_share * largest)) {
        s.rank--;
        s.undetermined.insert(s.undetermined.end(), v, v + n);
        continue;
      }
      for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t j = 0; j < n; j++) s.inverse[i * n + j] += v[i] * v[j] / value;
    }
  }
  s.kernel.resize((std::size_t)n);
  for (ptrdiff_t i = 0; i < n; i++) s.kernel[i] = dot(&s.inverse[i * n], m.right.data(), n);
  // Refined once with what is left.
  if (s.rank == n) {
    Numbers left(m.right);
    for (ptrdiff_t i = 0; i < n; i++) left[i] -= dot(&m.gram[i * n], s.kernel.data(), n);
    for (ptrdiff_t i = 0; i < n; i++) s.kernel[i] += dot(&s.inverse[i * n], left.data(), n);
  }
  return s;
}

namespace {

struct Search {
  const Views& v;
  double before_shift, after_shift;
  std::vector<unsigned char> counts;  // empty: all outputs count
  const unsigned char* mask() const { return counts.empty() ? nullptr : counts.data(); }

  Moments moments(const Shape& s) const { return gather(v, s, part_of(v, s), mask(), before_shift, after_shift, search_products).centred(); }

  // Below this, squared errors are rounding.
  double floor(double count, double square) const {
    return v.step > 0 ? count * v.step * v.step / 24 : 1e-13 * square + 1e-300;
  }
};

// Takes away outer rows and columns whose weights chance would give: one in 100,000 of those that are 0 stays.
Shape trimmed(const Search& search, Shape shape, const Moments& m, const Solution& whole, double& criterion) {
  Numbers kernel(whole.kernel), inverse(whole.inverse);
  std::vector<ptrdiff_t> at((std::size_t)m.size);  // rows of the matrix that are left
  for (ptrdiff_t i = 0; i < m.size; i++) at[i] = i;
  double rss = std::fmax(unexplained(m, kernel), search.floor(m.count, m.after_square));
  for (;;) {
    const ptrdiff_t n = (ptrdiff_t)at.size();
    double best = 0, best_rise = 0;
    std::vector<ptrdiff_t> drop;
    Numbers block_inverse;
    int side = -1;
    for (int k = 0; k < 4; k++) {
      const bool rows = k < 2;
      if ((rows ? shape.rows : shape.columns) == 1) continue;
      std::vector<ptrdiff_t> line;
      for (ptrdiff_t i = 0; i < n; i++) {
        const ptrdiff_t r = i / shape.columns, c = i % shape.columns;
        if (k == 0 ? r == 0 : k == 1 ? r == shape.rows - 1 : k == 2 ? c == 0 : c == shape.columns - 1) line.push_back(i);
      }
      const ptrdiff_t l = (ptrdiff_t)line.size();
      Numbers block((std::size_t)(l * l)), inverted;
      for (ptrdiff_t i = 0; i < l; i++)
        for (ptrdiff_t j = 0; j < l; j++) block[i * l + j] = inverse[line[i] * n + line[j]];
      if (!invert(block, l, inverted)) continue;
      double rise = 0;
      for (ptrdiff_t i = 0; i < l; i++)
        for (ptrdiff_t j = 0; j < l; j++) rise += kernel[line[i]] * inverted[i * l + j] * kernel[line[j]];
      const double chi = (double)l + 4 * std::sqrt(2 * (double)l) + 8, gain = chi - m.count * std::log1p(rise / rss);
      if (gain > best || (side < 0 && gain > 0)) best = gain, best_rise = rise, side = k, drop = line, block_inverse = inverted;
    }
    if (side < 0) {
      criterion = m.count * std::log(rss) + (double)n * std::log(m.count);
      return shape;
    }
    // What is left of the inverse and of the kernel without these weights.
    const ptrdiff_t l = (ptrdiff_t)drop.size();
    std::vector<ptrdiff_t> keep;
    for (ptrdiff_t i = 0, d = 0; i < n; i++) d < l && drop[d] == i ? (void)d++ : keep.push_back(i);
    Numbers gone((std::size_t)l), next_kernel, next_inverse;
    for (ptrdiff_t i = 0; i < l; i++) {
      gone[i] = 0;
      for (ptrdiff_t j = 0; j < l; j++) gone[i] += block_inverse[i * l + j] * kernel[drop[j]];
    }
    const ptrdiff_t w = (ptrdiff_t)keep.size();
    Numbers across((std::size_t)(w * l)), times((std::size_t)(w * l));
    for (ptrdiff_t i = 0; i < w; i++)
      for (ptrdiff_t j = 0; j < l; j++) across[i * l + j] = inverse[keep[i] * n + drop[j]];
    for (ptrdiff_t i = 0; i < w; i++)
      for (ptrdiff_t j = 0; j < l; j++) times[i * l + j] = dot(&across[i * l], &block_inverse[j * l], l);
    next_kernel.resize((std::size_t)w);
    next_inverse.resize((std::size_t)(w * w));
    std::vector<ptrdiff_t> next_at((std::size_t)w);
    for (ptrdiff_t i = 0; i < w; i++) {
      next_at[i] = at[keep[i]];
      next_kernel[i] = kernel[keep[i]] - dot(&across[i * l], gone.data(), l);
      for (ptrdiff_t j = 0; j < w; j++) next_inverse[i * w + j] = inverse[keep[i] * n + keep[j]] - dot(&times[i * l], &across[j * l], l);
    }
    kernel.swap(next_kernel), inverse.swap(next_inverse), at.swap(next_at);
    rss += best_rise;
    if (side == 0) shape.top--, shape.rows--;
    if (side == 1) shape.rows--;
    if (side == 2) shape.left--, shape.columns--;
    if (side == 3) shape.columns--;
  }
}

Shape centred(ptrdiff_t rows, ptrdiff_t columns) { return {rows / 2, columns / 2, rows, columns}; }

// The smallest window that the pair asks for: searched in a square of 7 weights, and where that is not enough in the
// largest; in smaller ones and in lines where squares are not determined.
Shape searched(const Search& search, ptrdiff_t most, bool& limit) {
  const Views& v = search.v;
  Shape found = centred(1, 1);
  double least = INFINITY, r2 = 0;
  auto tried = [&](const Shape& s) {
    if ((double)part_of(v, s).count() < 1.5 * (double)(s.size() + 1)) return false;
    const Moments m = search.moments(s);
    if (m.count < 1.5 * (double)(s.size() + 1)) return false;
    const Solution whole = solve(m);
    if (whole.rank < s.size()) return false;
    double criterion;
    const Shape one = trimmed(search, s, m, whole, criterion);
    criterion /= m.count;  // windows of another size are other samples
    if (criterion < least) {
      least = criterion, found = one;
      limit = s.rows == (most | 1) && one.rows == s.rows && one.columns == s.columns;
      r2 = m.after_square > 0 ? 1 - unexplained(m, whole.kernel) / m.after_square : 1;
    }
    return true;
  };
  if (most > 7 && tried(centred(7, 7)) && found.rows < 7 && found.columns < 7 && r2 > half) return found;
  for (ptrdiff_t k = most | 1; k > 1; k -= 2) {
    if (tried(centred(k, k))) return found;
    tried(centred(1, k));
    tried(centred(k, 1));
  }
  if (!std::isfinite(least)) tried(centred(1, 1));
  return found;
}

// Integers over the smallest divisor that the weights are within their errors, where chance would not give it
// (learning/rational.py).
bool rational(const Numbers& kernel, const Numbers& errors, double least, Numbers& integers, double& divisor) {
  double believed = 0;
  for (int d = 1; d <= 65536; d = d < 1024 ? d + 1 : 2 * d) {
    double widths = 0;
    bool fits = true;
    for (std::size_t i = 0; i < kernel.size(); i++) {
      const double error = 5 * std::fmax(errors[i], least);
      widths += std::log(std::fmin(1.0, 2 * error * d));
      const double scaled = kernel[i] * d;
      fits = fits && std::abs(scaled - std::nearbyint(scaled)) <= error * d;
    }
    believed += std::exp(widths);
    if (believed > 1e-4) return false;
    if (!fits) continue;
    integers.clear();
    for (const double w : kernel) integers.push_back(std::nearbyint(w * d) + 0.0);
    divisor = d;
    return true;
  }
  return false;
}

double rounded(double value, Rounding rule) {
  if (rule == Rounding::nearest) return std::floor(value + 0.5);
  return rule == Rounding::truncated ? std::floor(value) : std::nearbyint(value);
}

// The weighted sum of the window of (y, x).
double sum_at(const Views& v, const Shape& s, const double* kernel, ptrdiff_t y, ptrdiff_t x) {
  double sum = 0;
  for (ptrdiff_t a = 0; a < s.rows; a++) {
    const float* row = v.before + (y - s.top + a) * v.columns + x - s.left;
    for (ptrdiff_t b = 0; b < s.columns; b++) sum += *kernel++ * row[b];
  }
  return sum;
}

// Whether whole weights, an offset and a rule of rounding give every pixel of the part.
bool reproduces(const Views& v, const Part& part, SmallFit& fit, double offset, Rounding rule) {
  for (ptrdiff_t y = part.y0; y < part.y1; y++)
    for (ptrdiff_t x = part.x0; x < part.x1; x++) {
      const double value = sum_at(v, fit.shape, fit.integers.data(), y, x) / fit.divisor + offset;
      if (std::fmax(v.low, std::fmin(v.high, rounded(value, rule))) != v.after[y * v.after_columns + x]) return false;
    }
  return true;
}

// Values and residuals of a part, and the local contrast of the before.
struct Map {
  Numbers predicted, residual, contrast;
};

void sort(Numbers& keys, std::vector<ptrdiff_t>& order) {
  // Heapsort: small, and no worse on data in order.
  const ptrdiff_t n = (ptrdiff_t)order.size();
  auto sink = [&](ptrdiff_t i, ptrdiff_t end) {
    for (ptrdiff_t child; (child = 2 * i + 1) < end; i = child) {
      if (child + 1 < end && keys[order[child]] < keys[order[child + 1]]) child++;
      if (!(keys[order[i]] < keys[order[child]])) return;
      const ptrdiff_t t = order[i];
      order[i] = order[child], order[child] = t;
    }
  };
  for (ptrdiff_t i = n / 2; i-- > 0;) sink(i, n);
  for (ptrdiff_t end = n; end-- > 1;) {
    const ptrdiff_t t = order[0];
    order[0] = order[end], order[end] = t;
    sink(0, end);
  }
}

// Signs of a filter that is not linear, as learning/alternatives.py reads them from a sample of the residuals.
void read_signs(Map& map, double floor, SmallFit& fit) {
  const ptrdiff_t all = (ptrdiff_t)map.residual.size(), every = (all / 65536) | 1;
  std::vector<ptrdiff_t> order;
  for (ptrdiff_t i = 0; i < all; i += every) order.push_back(i);
  const ptrdiff_t n = (ptrdiff_t)order.size(), bins = 32, quarter = n / 4;
  if (n < 400) return;
  double mean = 0, total = 0, between = 0, calm = 0, busy = 0;
  for (const ptrdiff_t i : order) mean += map.residual[i] / (double)n;
  for (const ptrdiff_t i : order) total += (map.residual[i] - mean) * (map.residual[i] - mean);
  sort(map.predicted, order);
  for (ptrdiff_t b = 0; b < bins; b++) {
    const ptrdiff_t from = n * b / bins, to = n * (b + 1) / bins;
    double sum = 0;
    for (ptrdiff_t i = from; i < to; i++) sum += map.residual[order[i]] - mean;
    between += sum * sum / (double)(to - from);
  }
  fit.curve = total > 0 ? std::fmax(0.0, (between - total * (bins - 1) / (double)n) / total) : 0;
  sort(map.contrast, order);
  for (ptrdiff_t i = 0; i < quarter; i++) {
    calm += map.residual[order[i]] * map.residual[order[i]] / (double)quarter;
    busy += map.residual[order[n - 1 - i]] * map.residual[order[n - 1 - i]] / (double)quarter;
  }
  fit.texture = std::sqrt(busy) / std::fmax(std::sqrt(calm), std::fmax(floor, 1e-300));
}

Judgement judged(const SmallFit& fit) {
  if (!fit.solution.rank) return Judgement::undetermined;
  if (!fit.related) return Judgement::not_linear;
  if (fit.solution.rank < fit.shape.size()) return Judgement::undetermined;
  const double alike = std::abs(fit.correlation);
  if (fit.curve < 0.02 && fit.texture > 1 / 1.5 && fit.texture < 1.5 && alike < 0.5) return Judgement::approximate;
  if (fit.limit && fit.r2 > least_r2 && fit.curve < most_curve) return Judgement::approximate;
  if (fit.r2 < half && alike > 0.3) return Judgement::not_linear;
  const bool signs = fit.r2 < least_r2 || fit.curve > most_curve || fit.texture > most_texture;
  return signs ? Judgement::not_linear : Judgement::approximate;
}

// The rule that gives the border pixels (learning/boundary.py).
void find_border(const Views& v, SmallFit& fit, double variance, Apply apply) {
  if (!v.same()) return void(fit.reason = Reason::inside);
  const Shape& s = fit.shape;
  if (s.size() == 1 && !s.top && !s.left) {
    fit.candidates = 31;
    return void(fit.reason = Reason::no_reach);
  }
  const Part inner = part_of(v, s);
  const std::size_t all = (std::size_t)(v.rows * v.columns);
  std::vector<float> kernel(fit.solution.kernel.begin(), fit.solution.kernel.end()), out(all), zero(all);
  double total = 0, magnitude = 0, squares[rules] = {}, count = 0, most_before = 0;
  for (const double w : fit.solution.kernel) total += w, magnitude += std::abs(w);
  auto each = [&](auto f) {
    for (ptrdiff_t y = 0; y < v.rows; y++)
      for (ptrdiff_t x = 0; x < v.columns; x++)
        if (y < inner.y0 || y >= inner.y1 || x < inner.x0 || x >= inner.x1) f(y * v.columns + x);
  };
  auto miss = [&](std::size_t i, double value) {
    const double m = v.after[i] - std::fmax(v.low, std::fmin(v.high, value));
    return m * m;
  };
  apply(v, kernel.data(), s, Border::constant, 0, zero.data());
  // What a constant of 1 outside would add.
  std::vector<float> ones(all, 1.0f), held(all);
  Views blank = v;
  blank.before = ones.data();
  apply(blank, kernel.data(), s, Border::constant, 0, held.data());
  double steep = 0, along = 0;
  bool scaled = true;
  each([&](std::size_t i) {
    count++;
    const double slope = total - held[i], left = v.after[i] - zero[i] - fit.offset, before = v.before[i];
    most_before += before * before;
    if (v.after[i] > v.low && v.after[i] < v.high) steep += slope * slope, along += slope * left;
    squares[copied] += (v.after[i] - before) * (v.after[i] - before);
    if (std::abs(held[i]) > 1e-3 * magnitude) squares[renormalised] += miss(i, zero[i] * total / held[i] + fit.offset);
    else scaled = false;
  });
  if (!count) return void(fit.reason = Reason::none_fits);
  if (!scaled) squares[renormalised] = INFINITY;
  double cval = steep > 1e-12 * count ? along / steep : 0;
  if (std::abs(cval - std::nearbyint(cval)) < 1.0 && v.step > 0) cval = std::nearbyint(cval) + 0.0;
  auto with = [&](double c) {
    double sum = 0;
    each([&](std::size_t i) { sum += miss(i, zero[i] + c * (total - held[i]) + fit.offset); });
    return sum;
  };
  squares[0] = with(cval);
  const double none = with(0);
  if (none <= squares[0] * 1.01 + 25 * variance) squares[0] = none, cval = 0;
  for (int rule = 1; rule < 5; rule++) {
    apply(v, kernel.data(), s, (Border)rule, 0, out.data());
    each([&](std::size_t i) { squares[rule] += miss(i, out[i] + fit.offset); });
  }
  double error = 0, best = INFINITY;
  for (const double e : fit.errors) error += std::isfinite(e) ? e * e : 0;
  bool fits[rules];
  for (int rule = 0; rule < rules; rule++) {
    const double more = error * (rule == 0 ? cval * cval : most_before / count);
    fits[rule] = squares[rule] <= (variance + more) * (2 * count + 12 * std::sqrt(count));
    if (fits[rule]) best = std::fmin(best, squares[rule]);
  }
  if (!std::isfinite(best)) return void(fit.reason = Reason::none_fits);
  int alike = 0;
  for (const int rule : {2, 1, 3, 4, 0, copied, renormalised})
    if (fits[rule] && squares[rule] - best <= 25 * variance + 0.02 * best) {
      if (!alike++) fit.boundary = rule;
      fit.candidates |= 1u << rule;
    }
  fit.reason = alike == 1 ? Reason::from_border : Reason::several;
  if (alike > 1) {
    // The same where the rules read the same pixels: windows that reach one pixel beyond an edge.
    bool same = !(fit.candidates & ~(1u << 1 | 1u << 2)) && s.top <= 1 && s.left <= 1 && s.rows - s.top <= 2 && s.columns - s.left <= 2;
    if (same) fit.reason = Reason::same_with;
    else fit.boundary = -1;
  }
  if (fit.boundary == 0) fit.cval = cval;
}

// The kernel of one shape on what counts, with its errors.
void fitted(const Search& search, SmallFit& fit) {
  const Views& v = search.v;
  const Part part = part_of(v, fit.shape);
  const Moments plain = gather(v, fit.shape, part, search.mask(), search.before_shift, search.after_shift);
  const Moments m = plain.centred();
  fit.solution = solve(m);
  const double left = unexplained(m, fit.solution.kernel);
  const double freedom = std::fmax(1.0, m.count - (double)fit.solution.rank - 1);
  double offset = (plain.after_sum / plain.count + plain.after_shift);
  for (ptrdiff_t i = 0; i < m.size; i++) offset -= fit.solution.kernel[i] * (plain.totals[i] / plain.count + plain.before_shift);
  fit.offset = offset;
  fit.samples = m.count;
  fit.r2 = m.after_square > 0 ? std::fmax(0.0, 1 - left / m.after_square) : 0;
  fit.sd = std::sqrt(left / m.count);
  fit.errors.assign((std::size_t)m.size, INFINITY);
  for (ptrdiff_t i = 0; i < m.size; i++) {
    bool open = false;
    for (std::size_t d = 0; d < fit.solution.undetermined.size() / (std::size_t)m.size; d++)
      open = open || std::abs(fit.solution.undetermined[d * (std::size_t)m.size + (std::size_t)i]) > 1e-6;
    if (!open) fit.errors[i] = std::sqrt(left / freedom * std::fmax(0.0, fit.solution.inverse[i * m.size + i]));
  }
}

}  // namespace

SmallFit small_fit(const Views& v, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t most, Apply apply) {
  SmallFit fit;
  const ptrdiff_t inputs = v.rows * v.columns, outputs = v.after_rows * v.after_columns;
  Search search{v, 0, 0, {}};
  double peak = 0;
  for (ptrdiff_t i = 0; i < inputs; i++) search.before_shift += v.before[i] / (double)inputs, peak = std::fmax(peak, std::abs(v.before[i]));
  for (ptrdiff_t i = 0; i < outputs; i++) search.after_shift += v.after[i] / (double)outputs;
  if (v.step > 0) {  // sums of whole numbers stay whole
    search.before_shift = std::nearbyint(search.before_shift);
    search.after_shift = std::nearbyint(search.after_shift);
  }
  auto shape_of = [&] {
    if (!v.same()) return Shape{0, 0, v.rows - v.after_rows + 1, v.columns - v.after_columns + 1};
    return rows ? centred(rows, columns) : searched(search, most, fit.limit);
  };
  // Clipped pixels: those at an end, then those whose prediction lies beyond one.
  ptrdiff_t clipped = 0;
  if (std::isfinite(v.low) || std::isfinite(v.high)) {
    search.counts.assign((std::size_t)outputs, 1);
    for (ptrdiff_t i = 0; i < outputs; i++)
      if (v.after[i] <= v.low || v.after[i] >= v.high) search.counts[i] = 0, clipped++;
    if (!clipped || outputs - clipped < outputs / 8 + 32) search.counts.clear(), clipped = 0;
  }
  fit.shape = shape_of();
  fitted(search, fit);
  for (int turn = 0; clipped && turn < 2; turn++) {
    const Part part = part_of(v, fit.shape);
    clipped = 0;
    for (ptrdiff_t y = part.y0; y < part.y1; y++)
      for (ptrdiff_t x = part.x0; x < part.x1; x++) {
        const double value = sum_at(v, fit.shape, fit.solution.kernel.data(), y, x) + fit.offset;
        const bool out = value <= v.low || value >= v.high;
        search.counts[y * v.after_columns + x] = !out;
        clipped += out;
      }
    if (!clipped) search.counts.clear();
    fitted(search, fit);
  }
  fit.excluded = (double)clipped;
  fit.limit = fit.limit && v.same() && !rows;

  const Part part = part_of(v, fit.shape);
  double largest = 0, weights = 0;
  for (const double w : fit.solution.kernel) largest = std::fmax(largest, std::abs(w)), weights += std::abs(w);
  const bool complete = fit.solution.rank == fit.shape.size();
  const double least = (v.step > 0 ? 1e-9 : 1e-6) * largest;
  // What float32 leaves of values that are not whole.
  const double grain = 4e-7 * std::fmax(weights * peak, 1e-30);
  bool exact = false;
  if (complete && rational(fit.solution.kernel, fit.errors, least, fit.integers, fit.divisor)) {
    if (v.step > 0) {
      const double whole = std::nearbyint(fit.offset), low = std::nearbyint(fit.offset + 0.5);
      for (const Rounding rule : {Rounding::nearest, Rounding::nearest_even, Rounding::truncated}) {
        const double offset = rule == Rounding::truncated ? low : whole;
        if (!reproduces(v, part, fit, offset, rule)) continue;
        exact = true;
        fit.rounding = rule;
        fit.offset = (rule == Rounding::truncated ? offset - 0.5 : offset) + 0.0;
        break;
      }
      if (fit.divisor == 1) fit.rounding = Rounding::none;
    } else if (std::abs(fit.offset) <= grain) {
      fit.offset = 0;
    }
    if (exact || v.step == 0)
      for (std::size_t i = 0; i < fit.integers.size(); i++) fit.solution.kernel[i] = fit.integers[i] / fit.divisor;
  }

  Map map;
  double miss = 0, square = 0, alike = 0, before_one = 0;
  for (ptrdiff_t y = part.y0; y < part.y1; y++)
    for (ptrdiff_t x = part.x0; x < part.x1; x++) {
      if (!search.counts.empty() && !search.counts[y * v.after_columns + x]) continue;
      const double value = sum_at(v, fit.shape, fit.solution.kernel.data(), y, x) + fit.offset;
      const double left = v.after[y * v.after_columns + x] - value;
      miss = std::fmax(miss, std::abs(left));
      square += left * left;
      if (x > part.x0) alike += left * before_one;
      before_one = left;
      const ptrdiff_t r = y - fit.shape.top + fit.shape.rows / 2, c = x - fit.shape.left + fit.shape.columns / 2;
      auto at = [&](ptrdiff_t i, ptrdiff_t j) {
        return v.before[larger(0, smaller(i, v.rows - 1)) * v.columns + larger(0, smaller(j, v.columns - 1))];
      };
      map.predicted.push_back(value);
      map.residual.push_back(left);
      map.contrast.push_back(std::abs(at(r + 1, c) - at(r - 1, c)) + std::abs(at(r, c + 1) - at(r, c - 1)));
    }
  fit.sd = std::sqrt(square / std::fmax(1.0, (double)map.residual.size()));
  fit.correlation = square > 0 ? alike / square : 0;
  const double rounding_sd = v.step / std::sqrt(12.0);
  if (!exact && complete) {
    const double unsure = 5 * std::sqrt((double)fit.shape.size() / std::fmax(1.0, fit.samples)) * rounding_sd;
    exact = v.step > 0 ? miss <= 0.5 * v.step + unsure && (double)fit.samples > 4.0 * (double)fit.shape.size() : miss <= grain;
  }
  read_signs(map, rounding_sd, fit);
  if (fit.r2 <= certain_r2 && !exact) {
    const double rho = std::fmin(std::abs(fit.correlation), 0.95), share = (1 - rho) / (1 + rho), p = (double)fit.shape.size();
    const double effective = fit.samples * share * share;
    const double f = fit.r2 / std::fmax(1 - fit.r2, 1e-300) * std::fmax(effective - p - 1, 0.0) / p;
    fit.related = f > 1 + chance * std::sqrt(2 / p);
  }
  fit.verdict = exact && complete ? Judgement::exact : judged(fit);
  find_border(v, fit, std::fmax(fit.sd * fit.sd, std::fmax(rounding_sd * rounding_sd, grain * grain)), apply);
  return fit;
}

}  // namespace kf
