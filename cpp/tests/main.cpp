// kernelfield_tests [--digest] [--fastest] [--without=part of a name] [part of a name ...]
//   --digest   prints digests of results alone; --fastest  runs the fastest instruction set alone
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <utility>

#include "check.h"

namespace kf::test {

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

namespace {

constexpr std::uint64_t fnv_offset = 14695981039346656037u, fnv_prime = 1099511628211u;

std::mutex mutex;
int failures = 0;
std::uint64_t hash = 0;
bool hashed = false;

// The digest of a test, and the first set it was taken from.
struct Digest {
  std::uint64_t hash;
  const char* set;
};
std::map<std::pair<std::string, bool>, Digest> digests;

void keep_digest(const Test& test, const Table* table) {
  if (!hashed) return;
  const bool fused = table && table->fused;
  const char* set = table ? table->name : "any set";
  const auto [first, fresh] = digests.try_emplace({test.name, fused}, Digest{hash, set});
  if (!fresh && first->second.hash != hash)
    fail(test.name, 0, std::string("the digest differs from that of ") + first->second.set);
}

bool wanted(const char* name, int argc, char** argv) {
  constexpr char without[] = "--without=";
  bool named = false, any = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], without, sizeof without - 1) == 0) {
      if (std::strstr(name, argv[i] + sizeof without - 1)) return false;
    } else if (argv[i][0] != '-') {
      any = true;
      named |= std::strstr(name, argv[i]) != nullptr;
    }
  }
  return named || !any;
}

// Returns whether it passed.
bool run(const Test& test, const Table* table) {
  failures = 0;
  hash = fnv_offset;
  hashed = false;
  try {
    test.run(table);
  } catch (const std::exception& error) {
    fail(test.name, 0, std::string("an exception: ") + error.what());
  }
  keep_digest(test, table);
  return failures == 0;
}

}  // namespace

void fail(const char* file, int line, const std::string& what) {
  const std::lock_guard lock(mutex);
  ++failures;
  if (failures <= 10) std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  if (failures == 11) std::fprintf(stderr, "and more\n");
}

void digest(const void* data, std::size_t bytes) {
  const std::lock_guard lock(mutex);
  const auto* p = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < bytes; ++i) hash = (hash ^ p[i]) * fnv_prime;
  hashed = true;
}

}  // namespace kf::test

int main(int argc, char** argv) {
  using namespace kf::test;
  bool only_digest = false, only_fastest = false;
  for (int i = 1; i < argc; ++i) {
    only_digest |= std::strcmp(argv[i], "--digest") == 0;
    only_fastest |= std::strcmp(argv[i], "--fastest") == 0;
  }

  int passed = 0, failed = 0;
  const auto one = [&](const Test& test, const kf::Table* table) {
    const bool good = run(test, table);
    ++(good ? passed : failed);
    if (!only_digest || !good)
      std::fprintf(only_digest ? stderr : stdout, "%s %s%s%s\n", good ? "passed" : "FAILED", test.name, table ? ", " : "",
                   table ? table->name : "");
    std::fflush(stdout);
  };
  for (const Test& test : tests()) {
    if (!wanted(test.name, argc, argv)) continue;
    if (!test.tables) {
      if (!only_digest) one(test, nullptr);
      continue;
    }
    for (const kf::Table* table : test.tables()) {
      one(test, table);
      if (only_fastest) break;
    }
  }
  if (only_digest)
    for (const auto& [key, value] : digests)
      std::printf("%s %016" PRIx64 " %s\n", key.second ? "fused" : "rounded", value.hash, key.first.c_str());
  else
    std::printf("%d passed, %d failed\n", passed, failed);
  return failed || passed == 0;
}
