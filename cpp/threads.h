// One pool of threads for the process: the calling thread works too, and a job ends when its items are done.
#pragma once
#include <cstddef>
#include <functional>

namespace kf {

// How many threads jobs may run on from now on, the calling one included; at first, as many as there are processors.
// Results do not depend on it.
void set_threads(int n);
int threads();

// Called by the thread that runs a job, between items and while it waits, every 50 ms; true ends the job early.
// The bindings ask Python for signals there.
using Interrupted = bool (*)();

// Runs item(0) .. item(n - 1), on several threads where n > 1 and threads() > 1; items are claimed one by one.
// Returns false if it was interrupted: then some items may not have been run. An exception of an item ends the job and
// is thrown again here. Jobs of several calling threads share the pool. A job inside an item runs on its own thread and
// is not interrupted. Safe after fork: the child's first job starts threads of its own.
bool parallel(std::ptrdiff_t n, const std::function<void(std::ptrdiff_t)>& item, Interrupted interrupted = nullptr);

}  // namespace kf
