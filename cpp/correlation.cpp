#include "correlation.h"

#include <algorithm>
#include <cmath>

#include "certain.h"
#include "dispatch.h"

namespace kf {
namespace {

// Multiply-adds from which threads are worth waking, and of an item that ends soon enough for Ctrl-C.
constexpr double worth_threads = 2e6, longest_item = 4e8;
// Sums in doubt up to which float32 and some sums in float64 take less time than float64 throughout.
constexpr double few = 0.01;
// Weights, and products of two, that float32 holds.
constexpr double largest = 1e15;

bool is_power_of_two(double x) {
  int e;
  return std::frexp(x, &e) == 0.5;
}

template <class To> std::vector<To> rounded(const std::vector<double>& from) { return {from.begin(), from.end()}; }

}  // namespace

Ready::Ready(Options options) : options_(std::move(options)) {}

Ready::~Ready() {
  for (auto& one : prepared_) delete one.load();
}

Type Ready::sums(Type image, Type result) const { return prepared(image, result, table()).job.sums; }

float Ready::doubt(Type image, Type result) const { return prepared(image, result, table()).job.doubt; }

const Ready::Prepared& Ready::prepared(Type image, Type result, const Table& table) const {
  const std::size_t index = (std::size_t)image * types + (std::size_t)result;
  std::atomic<Prepared*>& place = prepared_[index + (table.fused ? types * types : 0)];
  Prepared* known = place.load(std::memory_order_acquire);
  if (known) return *known;
  std::unique_ptr<Prepared> made = prepare(image, result, table.fused);
  if (place.compare_exchange_strong(known, made.get(), std::memory_order_acq_rel)) return *made.release();
  return *known;
}

std::unique_ptr<Ready::Prepared> Ready::prepare(Type image, Type result, bool fused) const {
  auto made = std::make_unique<Prepared>();
  Correlation& job = made->job;
  job = options_.job;
  made->weights = options_.weights;
  made->down = options_.down;
  made->along = options_.along;
  made->bias = options_.bias;
  const std::ptrdiff_t taps = job.channels * job.rows.size * job.columns.size;
  auto scaled = [&](double by) {
    for (double& w : job.terms ? made->along : made->weights) w *= by;
    if (job.terms)
      for (double& w : made->weights) w *= by;
    for (double& b : made->bias) b *= by;
    job.scale /= by;
  };
  Known pixel;
  if (is_integer(result)) {
    job.sums = Type::f64;
    const bool narrow = size_of(result) < 4 && limits_of(image, pixel);
    if (narrow && job.border == Border::constant) {
      pixel.low = std::min(pixel.low, job.cval);
      pixel.high = std::max(pixel.high, job.cval);
      if (!((double)(float)job.cval == job.cval)) pixel.low = -std::numeric_limits<double>::infinity();
    }
    const bool cval_is_whole = job.border != Border::constant || job.cval == std::nearbyint(job.cval);
    if (narrow && std::isfinite(pixel.low) && std::isfinite(pixel.high)) {
      // Whole weights, but for a power of two: float32 holds their sums exactly.
      const std::vector<double>& terms = job.terms ? options_.down : options_.weights;
      double one = whole_multiple(terms.data(), (std::ptrdiff_t)terms.size()), bound = 0;
      double apart = 1;
      if (job.terms && one) {
        apart = one;
        one = whole_multiple(options_.along.data(), (std::ptrdiff_t)options_.along.size());
      }
      if (one && job.terms) {
        for (std::ptrdiff_t t = 0; t < job.terms; t++) {
          double down = 0, along = 0;
          for (std::ptrdiff_t i = 0; i < job.rows.size; i++) down += std::abs(options_.down[t * job.rows.size + i]);
          for (std::ptrdiff_t i = 0; i < job.columns.size; i++) along += std::abs(options_.along[t * job.columns.size + i]);
          bound += std::max(down * apart, 1.0) * std::max(along * one, 1.0);
        }
      } else if (one) {
        for (std::ptrdiff_t o = 0; o < job.outputs; o++) {
          double sum = 0;
          for (std::ptrdiff_t i = 0; i < taps; i++) sum += std::abs(options_.weights[o * taps + i]);
          bound = std::max(bound, sum * one);
        }
      }
      bool exact = one && cval_is_whole && std::max(one, apart) <= 0x1p24;
      double offset = 0;
      for (double b : made->bias) {
        exact = exact && b * one * apart == std::nearbyint(b * one * apart);
        offset = std::max(offset, std::abs(b * one * apart));
      }
      if (exact && bound * pixel.reach() + offset < 0x1p24) {
        job.sums = Type::f32;
      } else if (!job.up && is_power_of_two(job.scale)) {
        scaled(job.scale);
        double error = 0, share = 0;
        // Where tiles sum rows in parts.
        const bool in_parts = job.channels == 1 && job.rows.stride == 1 && job.columns.stride == 1 && !job.terms &&
                              is_long(job.rows.size, job.columns.size);
        bool held = true;
        for (const auto* all : {&made->weights, &made->down, &made->along})
          for (double w : *all) held = held && std::abs(w) < largest;
        if (job.terms && held) {
          const Known sum = known_sum(made->down.data(), job.rows.size, made->along.data(), job.columns.size, job.terms,
                                      pixel, made->bias.empty() ? 0 : made->bias[0], fused);
          error = sum.error;
          share = share_in_doubt(sum, made->weights.data(), taps);
        } else if (held) {
          for (std::ptrdiff_t o = 0; o < job.outputs; o++) {
            const double* w = made->weights.data() + o * taps;
            const double bias = made->bias.empty() ? 0 : made->bias[(std::size_t)o];
            const Known sum = in_parts ? known_sum_in_parts(w, job.rows.size, job.columns.size, pixel, bias, fused)
                                       : known_sum(w, taps, pixel, bias, fused);
            error = std::max(error, sum.error);
            share = std::max(share, share_in_doubt(sum, w, taps));
          }
        }
        if (held && share <= few && error < 0.25) {
          job.sums = Type::f32;
          job.doubt = std::nextafter((float)(0.5 - error), 0.f);
          job.in_parts = in_parts;
        }
      }
    }
  }
  if (job.sums == Type::f32) {
    made->single_weights = rounded<float>(made->weights);
    made->single_down = rounded<float>(made->down);
    made->single_along = rounded<float>(made->along);
    made->single_bias = rounded<float>(made->bias);
  }
  auto data = [](const auto& values) { return values.empty() ? nullptr : values.data(); };
  job.weights = data(made->weights);
  job.down = data(made->down);
  job.along = data(made->along);
  job.bias = data(made->bias);
  job.single_weights = data(made->single_weights);
  job.single_down = data(made->single_down);
  job.single_along = data(made->single_along);
  job.single_bias = data(made->single_bias);
  return made;
}

const char* Ready::refuses(const Array& image, const Array& out) const {
  const Correlation& job = options_.job;
  const int extra = options_.axes == 3;
  if (image.axes < (options_.axes == 4 ? 3 : 2)) return "image: expected more axes";
  if (out.axes != image.axes + extra) return "out: expected as many axes as the results have";
  const int lead = image.axes - (options_.axes == 4 ? 3 : 2);
  for (int i = 0; i < lead; i++)
    if (image.shape[i] != out.shape[i]) return "out: expected the image's leading axes";
  if (options_.axes == 4 && image.shape[lead] != job.channels * job.groups) return "image: expected as many channels as the weights have";
  if (options_.axes > 2 && out.shape[lead] != job.outputs) return "out: expected a channel for every kernel";
  if (image.shape[image.axes - 1] < 1 || image.shape[image.axes - 2] < 1) return "image: expected at least one pixel";
  if (out.type == Type::f16 || out.type == Type::bf16) return "out: expected another dtype";
  return nullptr;
}

double Ready::cost(const Array& out) const {
  double n = 1;
  for (int i = 0; i < out.axes; i++) n *= (double)out.shape[i];
  const Correlation& job = options_.job;
  const double each = job.terms ? (double)(job.terms * (job.rows.size + job.columns.size))
                                : (double)(job.channels * job.rows.size * job.columns.size);
  return n * each;
}

bool Ready::run(const Array& image, const Array& out, Interrupted interrupted) const {
  for (int i = 0; i < out.axes; i++)
    if (!out.shape[i]) return true;
  const Table& set = table();
  const Correlation& job = prepared(image.type, out.type, set).job;
  auto function = job.terms ? set.separable : set.direct;
  const int a = image.axes, b = out.axes;
  Planes from{image.data, image.type, 1, image.shape[a - 2], image.shape[a - 1], 0, image.strides[a - 2], image.strides[a - 1]};
  Planes to{out.data, out.type, 1, out.shape[b - 2], out.shape[b - 1], 0, out.strides[b - 2], out.strides[b - 1]};
  int lead = a - 2;
  if (options_.axes == 4) {
    lead--;
    from.channels = image.shape[lead];
    from.channel = image.strides[lead];
  }
  if (options_.axes > 2) {
    to.channels = out.shape[lead];
    to.channel = out.strides[lead];
  } else if (lead > 0 && job.rows.stride == 1 && job.columns.stride == 1) {
    // Channels side by side in both arrays are one line of elements, whose taps lie so many apart.
    const std::ptrdiff_t n = image.shape[lead - 1];
    if (n > 1 && image.strides[lead - 1] == size_of(image.type) && out.strides[lead - 1] == size_of(out.type) &&
        from.column == n * size_of(image.type) && to.column == n * size_of(out.type) && from.columns > 1 && to.columns > 1) {
      from.together = to.together = n;
      lead--;
    }
  }
  std::ptrdiff_t images = 1;
  for (int i = 0; i < lead; i++) images *= image.shape[i];

  const double work = cost(out);
  std::ptrdiff_t bands = 1, parts = 1;
  if (work > worth_threads) {
    const double items = std::max(4.0 * threads(), work / longest_item);
    // Every band reads the rows of a kernel again; beside many products that is little.
    const bool many = job.rows.size * job.columns.size > 200;
    const std::ptrdiff_t thinnest = many ? 12 : std::max<std::ptrdiff_t>(16, 2 * job.rows.span());
    bands = std::clamp<std::ptrdiff_t>((std::ptrdiff_t)std::ceil(items / (double)images), 1, std::max<std::ptrdiff_t>(1, to.rows / thinnest));
    // Wide images of few rows, and work that would not end soon enough, are shared by columns too.
    const std::ptrdiff_t narrowest = work / (double)(images * bands) > longest_item ? 256 : 4096;
    const double more = std::ceil(items / (double)(images * bands));
    if (images * bands < threads() || narrowest == 256)
      parts = std::clamp<std::ptrdiff_t>((std::ptrdiff_t)more, 1, std::max<std::ptrdiff_t>(1, to.columns / narrowest));
  }
  // Bands of whole tiles.
  const std::ptrdiff_t high = std::max<std::ptrdiff_t>(1, ((to.rows + bands - 1) / bands + 11) / 12 * 12);
  bands = (to.rows + high - 1) / high;
  const std::ptrdiff_t wide = (to.columns + parts - 1) / parts;

  auto item = [&](std::ptrdiff_t index) {
    const std::ptrdiff_t part = index % parts, band = index / parts % bands;
    Planes one = from, result = to;
    std::ptrdiff_t rest = index / parts / bands;
    for (int i = lead - 1; i >= 0; i--) {
      const std::ptrdiff_t at = rest % image.shape[i];
      rest /= image.shape[i];
      one.data += at * image.strides[i];
      result.data += at * out.strides[i];
    }
    const std::ptrdiff_t x0 = part * wide, x1 = std::min(x0 + wide, to.columns);
    if (x0 < x1) function(job, one, result, band * high, std::min((band + 1) * high, to.rows), x0, x1);
  };
  const std::ptrdiff_t items = images * bands * parts;
  if (work <= worth_threads) {
    for (std::ptrdiff_t i = 0; i < items; i++) item(i);
    return true;
  }
  return parallel(items, item, interrupted);
}

}  // namespace kf
