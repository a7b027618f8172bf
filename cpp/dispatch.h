// Which instruction set is in use: the tables of functions that were compiled, and those this processor can run.
#pragma once
#include <vector>

#include "array.h"

namespace kf {

// Tables of this build that the processor can run, the fastest first; the last is "baseline" (on Arm "neon").
const std::vector<const Table*>& tables();

// The table in use: the fastest, or the one that `use` named.
const Table& table();

// Takes the table of that name, the fastest for ""; false if it is not built or the processor cannot run it.
bool use(const char* name);

}  // namespace kf
