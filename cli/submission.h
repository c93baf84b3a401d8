// What a cluster is sent so that it runs a job that this process has loaded.
#pragma once

#include "cli/common.h"
#include "cli/rest_client.h"
#include "weir/runtime/rest/api.pb.h"

namespace weir::cli {

// To begin afresh. InvalidArgument where something of it cannot be said in JSON.
StatusOr<rest::SubmitRequest> SubmissionOf(const LoadedJob& loaded, int parallelism,
                                           Duration checkpoint_interval);

// The library and every file that its builder has read. FailedPrecondition: the library has
// changed since it was loaded.
Status SendFiles(const RestClient& client, const LoadedJob& loaded);

}  // namespace weir::cli
