#include "shadow/version.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <unistd.h>

#include <utility>

#include "core/environment.h"
#include "core/shared_memory.h"
#include "weir/shadow/version.pb.h"

namespace weir::shadow {
namespace {

StatusOr<Version> Parse(std::string_view packed) {
  Version version;
  if (!version.ParseFromArray(packed.data(), static_cast<int>(packed.size()))) {
    return absl::InvalidArgumentError("the bytes are no version of a job");
  }
  return version;
}

// Equal versions are equal bytes.
StatusOr<std::string> Serialize(const Version& version) {
  std::string packed;
  google::protobuf::io::StringOutputStream stream(&packed);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.SetSerializationDeterministic(true);
  if (!version.SerializeToCodedStream(&out)) {
    return absl::ResourceExhaustedError(
        fmt::format("{} and what it reads are too large for a shadow", version.library_path()));
  }
  out.Trim();
  return packed;
}

}  // namespace

StatusOr<std::string> SubmittedVersion(const JobVersion& job, std::string_view library,
                                       const std::vector<Resource>& resources) {
  Version version;
  version.set_library_path(job.library_path);
  version.set_library_sha256(job.library_sha256);
  version.set_library(std::string(library));
  for (const auto& [name, value] : job.parameters) (*version.mutable_parameters())[name] = value;
  for (const Resource& resource : resources) {
    VersionFile& file = *version.add_resources();
    file.set_name(resource.name);
    file.set_path(resource.path);
    file.set_content(resource.bytes);
  }
  return Serialize(version);
}

StatusOr<std::string> BuiltVersion(std::string_view packed, const BuiltJob& built) {
  WEIR_ASSIGN_OR_RETURN(Version version, Parse(packed));
  version.set_graph(built.graph.Serialize());
  for (size_t s = 0; s < built.stages.size(); ++s) {
    if (built.stages[s].lines.by_partition) version.add_routed_sinks(built.graph.stages[s].name);
  }
  return Serialize(version);
}

StatusOr<std::string> PackVersion(const JobLibrary& library, const Parameters& parameters,
                                  const BuiltJob& built) {
  WEIR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(RealEnvironment().disk, library.path()));
  JobVersion version;
  version.library_path = library.path();
  version.library_sha256 = library.sha256();
  version.parameters = parameters.values();
  WEIR_ASSIGN_OR_RETURN(const std::string submitted,
                        SubmittedVersion(version, bytes, parameters.resources()));
  return BuiltVersion(submitted, built);
}

StatusOr<JobVersion> ReadVersion(std::string_view packed) {
  WEIR_ASSIGN_OR_RETURN(const Version version, Parse(packed));
  JobVersion result;
  result.library_path = version.library_path();
  result.library_sha256 = version.library_sha256();
  result.parameters = {version.parameters().begin(), version.parameters().end()};
  for (const VersionFile& file : version.resources()) {
    result.resources.emplace_back(file.name(), Sha256Hex(file.content()));
  }
  WEIR_ASSIGN_OR_RETURN(result.graph, JobGraph::Parse(version.graph()));
  result.routed_sinks = {version.routed_sinks().begin(), version.routed_sinks().end()};
  return result;
}

StatusOr<BuiltJob> BuildVersion(std::string_view packed) {
  WEIR_ASSIGN_OR_RETURN(const Version version, Parse(packed));
  WEIR_ASSIGN_OR_RETURN(const int fd, FileInMemory("weir-job-version", version.library()));
  // The descriptor stays open: the library is never unloaded, and debuggers read it by this name.
  WEIR_ASSIGN_OR_RETURN(const JobLibrary library,
                        JobLibrary::Load(fmt::format("/proc/self/fd/{}", fd)));
  std::vector<Resource> resources;
  for (const VersionFile& file : version.resources()) {
    resources.push_back({file.name(), file.path(), file.content(), Sha256Hex(file.content())});
  }
  Parameters parameters(
      Parameters::Values(version.parameters().begin(), version.parameters().end()),
      ResourcesThatTravelled(resources, /*plugins=*/false), /*working_dir=*/"",
      ResourcesThatTravelled(resources, /*plugins=*/true));
  return library.Build(parameters);
}

}  // namespace weir::shadow
