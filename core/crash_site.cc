#include "core/crash_site.h"

namespace weir {
namespace {

// libweir is loaded with the process, so this lies in the thread's own block: reading it in a
// signal handler allocates nothing.
constinit thread_local CrashSite current;

}  // namespace

CrashSite& CurrentCrashSite() { return current; }

}  // namespace weir
