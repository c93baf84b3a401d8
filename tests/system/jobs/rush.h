// What a library of fares.cc shares with every other one in its process.
#pragma once

#include <vector>

#ifndef RUSH_FACTOR
#error "define RUSH_FACTOR"
#endif

// By priority. Seen by everybody and of vague linkage: of all libraries that a process loads, its
// linker takes the one that came first.
struct __attribute__((visibility("default"))) Rush {
  inline static const std::vector<double> factors = {1, 1, 1, 1, 1.25, 1.25, 1.5, RUSH_FACTOR};
};
