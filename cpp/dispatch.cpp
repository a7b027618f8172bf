#include "dispatch.h"

#include <cstdlib>
#include <cstring>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if defined(__aarch64__)
namespace neon {
extern const kf::Table table;
}
#else
namespace baseline {
extern const kf::Table table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const kf::Table table;
}
namespace avx512 {
extern const kf::Table table;
}
#endif
#endif

namespace kf {
namespace {

#if defined(__x86_64__)
// Not __builtin_cpu_supports, which builds without libgcc's start-up code answer with no.
struct Processor {
  bool avx2 = false, avx512 = false;
  Processor() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    const bool fma = c >> 12 & 1, saves = c >> 27 & 1, avx = c >> 28 & 1, f16c = c >> 29 & 1;
    if (!saves || !avx) return;
    // The system must save the registers too.
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    avx2 = fma && f16c && (b >> 5 & 1);
    const bool foundation = b >> 16 & 1, dq = b >> 17 & 1, bw = b >> 30 & 1, vl = b >> 31 & 1, vnni = c >> 11 & 1;
    avx512 = avx2 && (low & 0xe6) == 0xe6 && foundation && dq && bw && vl && vnni;
  }
};
#endif

std::vector<const Table*> found() {
  std::vector<const Table*> all;
#if defined(__aarch64__)
  all.push_back(&neon::table);
#else
#if defined(__x86_64__)
  const Processor processor;
  if (processor.avx512) all.push_back(&avx512::table);
  if (processor.avx2) all.push_back(&avx2::table);
#endif
  all.push_back(&baseline::table);
#endif
  return all;
}

const Table*& current() {
  static const Table* table = tables().front();
  return table;
}

}  // namespace

const std::vector<const Table*>& tables() {
  static const std::vector<const Table*> all = found();
  return all;
}

const Table& table() { return *current(); }

bool use(const char* name) {
  if (!*name) {
    current() = tables().front();
    return true;
  }
  for (const Table* one : tables())
    if (!std::strcmp(one->name, name)) {
      current() = one;
      return true;
    }
  return false;
}

}  // namespace kf
