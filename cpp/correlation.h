// A cross-correlation ready to run: it owns the weights, decides how sums are taken, and shares the work among threads.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "array.h"
#include "threads.h"

namespace kf {

constexpr int most_axes = 32;

// An array (..., H, W) of any strides, in bytes.
struct Array {
  std::byte* data;
  Type type;
  int axes;
  std::ptrdiff_t shape[most_axes], strides[most_axes];
};

struct Options {
  int axes = 2;  // of the weights as the caller has them: 2, 3 (a bank) or 4 (a layer)
  Correlation job;
  std::vector<double> weights, down, along, bias;
};

class Ready {
 public:
  explicit Ready(Options options);
  Ready(const Ready&) = delete;
  Ready& operator=(const Ready&) = delete;
  ~Ready();

  // A reason why these arrays do not go together, or null.
  const char* refuses(const Array& image, const Array& out) const;

  // Multiply-adds, about.
  double cost(const Array& out) const;

  // Writes the results; false if it was interrupted. Arrays do not overlap and are not refused.
  bool run(const Array& image, const Array& out, Interrupted interrupted) const;

  // How sums are taken for these types: for tests and reports.
  Type sums(Type image, Type result) const;
  float doubt(Type image, Type result) const;

 private:
  struct Prepared {
    Correlation job;
    std::vector<double> weights, down, along, bias;
    std::vector<float> single_weights, single_down, single_along, single_bias;
  };
  const Prepared& prepared(Type image, Type result, const Table& table) const;
  std::unique_ptr<Prepared> prepare(Type image, Type result, bool fused) const;

  Options options_;
  mutable std::array<std::atomic<Prepared*>, 2 * types * types> prepared_{};  // by types, with and without fused steps
};

}  // namespace kf
