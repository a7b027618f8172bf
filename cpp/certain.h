// Sums of integers in float32, where that provably gives the integers that float64 rounds to.
//
// Every step of a sum is a fused multiply-add, which errs by half a unit in the last place of what it gives (Higham,
// Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1); the weights are rounded before. The bound
// follows from the weights and the limits of the pixels alone.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "array.h"

namespace kf {

// Between which numbers a sum lies, and how far it is in float32 from what it is in float64, at most.
struct Known {
  double low = 0, high = 0, error = 0;
  double reach() const { return std::max(std::abs(low), std::abs(high)); }
};

// The unit in the last place, in float32, of the largest sums within a bound; sums err by more than the bound says,
// many times less than this adds.
inline double ulp(double bound) {
  const float b = (float)(bound * (1 + 0x1p-10));
  return (double)(std::nextafter(b, std::numeric_limits<float>::infinity()) - b);
}

// Adds weight × number, for numbers known to lie within limits, to a sum in float32. Where sums go in parts, `part`
// says how large those become.
inline void add_product(Known& sum, double weight, const Known& number, bool fused, double part = std::numeric_limits<double>::infinity()) {
  const double single = (double)(float)weight, a = weight * number.low, b = weight * number.high;
  sum.low += std::min(a, b);
  sum.high += std::max(a, b);
  sum.error += std::abs(single) * number.error + std::abs(single - weight) * number.reach();
  sum.error += ulp(std::min(part, sum.reach() + sum.error)) / 2;
  if (!fused) sum.error += ulp(std::abs(single) * (number.reach() + number.error)) / 2;
  // What the sum in float64 errs by itself.
  sum.error += 2 * std::numeric_limits<double>::epsilon() * (sum.reach() + std::abs(weight) * number.reach());
}

inline void add_bias(Known& sum, double bias) {
  if (bias == 0) return;
  sum.low += bias;
  sum.high += bias;
  sum.error += std::abs(bias - (double)(float)bias) + ulp(sum.reach() + sum.error);
}

inline Known known_sum(const double* weights, std::ptrdiff_t n, const Known& pixel, double bias, bool fused) {
  Known sum;
  for (std::ptrdiff_t i = 0; i < n; i++) add_product(sum, weights[i], pixel, fused);
  add_bias(sum, bias);
  return sum;
}

// Whether a sum is long enough to be taken in parts of `part_rows` rows.
inline bool is_long(std::ptrdiff_t kh, std::ptrdiff_t kw) { return kh >= 12 && kh * kw >= 200; }

inline Known known_sum_in_parts(const double* weights, std::ptrdiff_t kh, std::ptrdiff_t kw, const Known& pixel, double bias, bool fused) {
  double largest = 0;
  for (std::ptrdiff_t first = 0; first < kh; first++) {
    double up = 0, down = 0;
    for (std::ptrdiff_t i = first * kw; i < std::min(first + part_rows, kh) * kw; i++) {
      const double a = weights[i] * pixel.low, b = weights[i] * pixel.high;
      up += std::max({a, b, 0.0});
      down -= std::min({a, b, 0.0});
    }
    largest = std::max({largest, up, down});
  }
  Known sum;
  // What parts err by themselves is many times less than their size.
  for (std::ptrdiff_t i = 0; i < kh * kw; i++) add_product(sum, weights[i], pixel, fused, largest);
  sum.error += (double)(kh / part_rows + 4) * ulp(sum.reach() + sum.error) / 2;
  add_bias(sum, bias);
  return sum;
}

inline Known known_sum(const double* down, std::ptrdiff_t kh, const double* along, std::ptrdiff_t kw, std::ptrdiff_t terms,
                       const Known& pixel, double bias, bool fused) {
  Known sum;
  for (std::ptrdiff_t t = 0; t < terms; t++) {
    const Known between = known_sum(down + t * kh, kh, pixel, 0, fused);
    for (std::ptrdiff_t b = 0; b < kw; b++) add_product(sum, along[t * kw + b], between, fused);
  }
  add_bias(sum, bias);
  return sum;
}

// About how many of all sums lie within their error of a half. Sums are taken to lie anywhere, but for weights that
// are multiples of one (1/6, a Gaussian over 273): theirs are multiples too, which may meet halves.
inline double share_in_doubt(const Known& sum, const double* weights, std::ptrdiff_t n) {
  constexpr double most = 1 << 16, nearly = 1e-9;
  const double anywhere = 2 * sum.error;
  double one = std::numeric_limits<double>::infinity();
  for (std::ptrdiff_t i = 0; i < n; i++)
    if (weights[i] != 0) one = std::min(one, std::abs(weights[i]));
  if (!std::isfinite(one)) return anywhere;
  double total = 0;
  for (std::ptrdiff_t i = 0; i < n; i++) {
    const double multiple = weights[i] / one;
    total += std::abs(multiple);
    if (std::abs(multiple - std::nearbyint(multiple)) > nearly || total > most) return anywhere;
  }
  const std::int64_t count = (std::int64_t)std::min(most, std::floor(sum.reach() / one) + 1);
  std::int64_t near = 0;
  for (std::int64_t i = 0; i < count; i++) {
    const double multiple = one * (double)i;
    near += std::abs(multiple - std::floor(multiple) - 0.5) <= sum.error;
  }
  return std::max(anywhere, (double)near / (double)count);
}

// The least power of two, from 1, that makes weights whole; 0 if there is none below 2^40.
inline double whole_multiple(const double* weights, std::ptrdiff_t n) {
  double one = 1;
  for (std::ptrdiff_t i = 0; i < n; i++) {
    if (!std::isfinite(weights[i])) return 0;
    while (weights[i] * one != std::nearbyint(weights[i] * one))
      if ((one *= 2) > 0x1p40) return 0;
  }
  return one;
}

// The limits of integer pixels that float32 holds, constants beside them included.
inline bool limits_of(Type type, Known& pixel) {
  switch (type) {
    case Type::u8: pixel = {0, 255, 0}; return true;
    case Type::i8: pixel = {-128, 127, 0}; return true;
    case Type::u16: pixel = {0, 65535, 0}; return true;
    case Type::i16: pixel = {-32768, 32767, 0}; return true;
    default: return false;
  }
}

}  // namespace kf
