// A small harness. TEST("name") { ... } is run once, TABLE_TEST("name") { ... } once for each instruction set, as
// `table`. Checks that fail are counted and printed; the test goes on.
#pragma once
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "../dispatch.h"

namespace kf::test {

struct Test {
  const char* name;
  void (*run)(const Table*);
  const std::vector<const Table*>& (*tables)();  // null: it does not depend on the processor
};

// All tests, in the order of the files they stand in.
std::vector<Test>& tests();

struct Registered {
  Registered(const char* name, void (*run)(const Table*), const std::vector<const Table*>& (*tables)()) {
    tests().push_back({name, run, tables});
  }
};

// One more failure of the running test; safe to call from any thread.
void fail(const char* file, int line, const std::string& what);

// Adds results of the running test to its digest: those of all sets that fuse must be equal, and across machines too.
void digest(const void* data, std::size_t bytes);

template <class A, class B>
void check_equal(const A& a, const B& b, const char* file, int line, const char* text) {
  if (a == b) return;
  std::ostringstream what;
  what << text << ": " << a << " and " << b;
  fail(file, line, what.str());
}

}  // namespace kf::test

#define CHECK(condition) ((condition) ? void() : kf::test::fail(__FILE__, __LINE__, #condition))
#define CHECK_EQ(a, b) kf::test::check_equal(a, b, __FILE__, __LINE__, #a " == " #b)

#define KF_JOIN_(a, b) a##b
#define KF_JOIN(a, b) KF_JOIN_(a, b)
#define KF_TEST(name, tables)                                                                          \
  static void KF_JOIN(test_, __LINE__)(const kf::Table*);                                              \
  static const kf::test::Registered KF_JOIN(registered_, __LINE__){name, KF_JOIN(test_, __LINE__), tables}; \
  static void KF_JOIN(test_, __LINE__)([[maybe_unused]] const kf::Table* table)
#define TEST(name) KF_TEST(name, nullptr)
#define TABLE_TEST(name) KF_TEST(name, &kf::tables)
