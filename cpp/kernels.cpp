// The functions of one instruction set, compiled once for each, in parts that compile side by side.
#include "direct.h"
#include "lags.h"
#include "separable.h"
#if KF_PART == 4
#include "windows.h"
#endif

#define KF_TEXT_(x) #x
#define KF_TEXT(x) KF_TEXT_(x)

namespace KF_SET {

using kf::Correlation;
using kf::Planes;
#define KF_SUMS const Correlation &job, const Planes &image, const Planes &result, ptrdiff_t y0, ptrdiff_t y1, ptrdiff_t x0, ptrdiff_t x1
void direct_f32(KF_SUMS);
void direct_f64(KF_SUMS);
void separable_f32(KF_SUMS);
void separable_f64(KF_SUMS);
void lags_of(const kf::Lags& job, ptrdiff_t first, ptrdiff_t last, double* sums);
void windows_of(const kf::Windows& job, ptrdiff_t first, ptrdiff_t last, double* sums);

#if KF_PART == 0
void direct_f32(KF_SUMS) { direct_sums<float>(job, image, result, y0, y1, x0, x1); }
#elif KF_PART == 1
void direct_f64(KF_SUMS) { direct_sums<double>(job, image, result, y0, y1, x0, x1); }
#elif KF_PART == 2
void separable_f32(KF_SUMS) { separable_sums<float>(job, image, result, y0, y1, x0, x1); }
void separable_f64(KF_SUMS) { separable_sums<double>(job, image, result, y0, y1, x0, x1); }
#elif KF_PART == 3
void lags_of(const kf::Lags& job, ptrdiff_t first, ptrdiff_t last, double* sums) { lags(job, first, last, sums); }

static void direct(KF_SUMS) {
  (job.sums == kf::Type::f32 ? direct_f32 : direct_f64)(job, image, result, y0, y1, x0, x1);
}
static void separable(KF_SUMS) {
  (job.sums == kf::Type::f32 ? separable_f32 : separable_f64)(job, image, result, y0, y1, x0, x1);
}
static std::ptrdiff_t multiply_adds(std::ptrdiff_t rounds) {
  constexpr int sums = registers / 2;
  vec<float> sum[sums], factor = splat(0.999f);
  for (int i = 0; i < sums; i++) sum[i] = splat((float)i);
  KF_ROLLED for (ptrdiff_t n = 0; n < rounds; n++) KF_UNROLL for (int i = 0; i < sums; i++) sum[i] = fma(sum[i], factor, factor);
  vec<float> all{};
  for (int i = 0; i < sums; i++) all += sum[i];
  volatile float kept = all[0];
  (void)kept;
  return rounds * sums * lanes<float>;
}
extern const kf::Table table;
const kf::Table table{KF_TEXT(KF_SET), fused, direct, separable, lags_of, windows_of, multiply_adds};
#elif KF_PART == 4
void windows_of(const kf::Windows& job, ptrdiff_t first, ptrdiff_t last, double* sums) { windows(job, first, last, sums); }
#endif

}  // namespace KF_SET
