#include <fcntl.h>
#include <unistd.h>

#include "cli/commands.h"
#include "runtime/coordinator/job_describer.h"

namespace weir::cli {

int RunDescribe() {
  runtime::DescribeJob request;
  if (fcntl(kDescribeAnswerDescriptor, F_GETFD) < 0 ||
      !request.ParseFromFileDescriptor(kDescribeRequestDescriptor)) {
    PrintError(
        absl::InvalidArgumentError("weir describe is started by weir coordinator, not by hand"));
    return kUsage;
  }
  const StatusOr<LoadedJob> loaded = BuildAgain(request.start());
  const runtime::JobDescription description =
      loaded.ok() ? DescribeJob(request, loaded->built, RealEnvironment())
                  : DescribeFailure(loaded.status());
  return description.SerializeToFileDescriptor(kDescribeAnswerDescriptor) ? kDone : kJobFailed;
}

}  // namespace weir::cli
