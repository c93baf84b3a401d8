// A job library that was built with other headers: its ABI has the right number, and other sizes.
#include "jobs/job_library.h"

extern "C" __attribute__((visibility("default"))) const weir::JobEntry* weir_job_entry() {
  static const weir::JobEntry entry = {weir::kJobAbi,
                                       sizeof(weir::JobBuilder) + 8,
                                       sizeof(weir::OperatorContext),
                                       "compiler 1.2",
                                       "other_sizes",
                                       nullptr};
  return &entry;
}
