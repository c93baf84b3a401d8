#include "cli/submission.h"

#include <fmt/format.h>

#include "core/environment.h"
#include "core/json.h"

namespace weir::cli {

StatusOr<rest::SubmitRequest> SubmissionOf(const LoadedJob& loaded, int parallelism,
                                           Duration checkpoint_interval) {
  rest::SubmitRequest request;
  request.set_library_sha256(loaded.library.sha256());
  for (const auto& [name, value] : loaded.parameters.values()) {
    if (!IsValidUtf8(name) || !IsValidUtf8(value)) {
      return absl::InvalidArgumentError(
          fmt::format("-D {}: what is sent to a cluster must be UTF-8", name));
    }
    (*request.mutable_parameters())[name] = value;
  }
  for (const Resource& resource : loaded.parameters.resources()) {
    if (!IsValidUtf8(resource.name) || !IsValidUtf8(resource.path)) {
      return absl::InvalidArgumentError(
          fmt::format("{}: what is sent to a cluster must be UTF-8, names too", resource.path));
    }
    rest::Resource& sent = *request.add_resources();
    sent.set_name(resource.name);
    sent.set_path(resource.path);
    sent.set_sha256(resource.sha256);
  }
  request.set_parallelism(static_cast<uint32_t>(parallelism));
  request.set_checkpoint_interval_seconds(static_cast<double>(checkpoint_interval) / 1e6);
  return request;
}

Status SendFiles(const RestClient& client, const LoadedJob& loaded) {
  StatusOr<std::string> library = ReadFile(RealEnvironment().disk, loaded.library.path());
  if (!library.ok()) return absl::InvalidArgumentError(std::string(library.status().message()));
  if (Sha256Hex(*library) != loaded.library.sha256()) {
    return absl::FailedPreconditionError(
        loaded.library.path() + " has changed while it was being submitted; submit it again");
  }
  // Where nobody answers, that is no fault of the file.
  const auto send = [&](std::string_view name, const std::string& sha256,
                        const std::string& bytes) {
    const Status sent = client.SendBlob(sha256, bytes);
    return absl::IsUnavailable(sent) ? sent : Annotate(sent, name);
  };
  WEIR_RETURN_IF_ERROR(send(loaded.library.path(), loaded.library.sha256(), *library));
  for (const Resource& resource : loaded.parameters.resources()) {
    WEIR_RETURN_IF_ERROR(send(resource.name, resource.sha256, resource.bytes));
  }
  return absl::OkStatus();
}

}  // namespace weir::cli
