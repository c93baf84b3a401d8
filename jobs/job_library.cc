#include "jobs/job_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>

#include "core/environment.h"

namespace weir {

StatusOr<JobLibrary> JobLibrary::Load(const std::string& path) {
  StatusOr<std::string> bytes = ReadFile(RealEnvironment().disk, path);
  if (!bytes.ok()) return Annotate(bytes.status(), "cannot read the job library");
  std::string sha256 = Sha256Hex(*bytes);
  // An absolute path, or dlopen would search for it.
  void* handle = dlopen(std::filesystem::absolute(path).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return absl::FailedPreconditionError(fmt::format("cannot load the job library: {}", dlerror()));
  }
  auto entry_of = reinterpret_cast<const JobEntry* (*)()>(dlsym(handle, "weir_job_entry"));
  if (entry_of == nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not a job library: it defines no WEIR_JOB", path));
  }
  const JobEntry* entry = entry_of();
  if (entry->abi != kJobAbi) {
    return absl::FailedPreconditionError(fmt::format(
        "{} was built against another version of Weir (job ABI {}, with {}); this one has "
        "job ABI {}: build it again",
        path, entry->abi, entry->compiler, kJobAbi));
  }
  if (entry->builder_bytes != sizeof(JobBuilder) ||
      entry->context_bytes != sizeof(OperatorContext)) {
    return absl::FailedPreconditionError(fmt::format(
        "{} was built with other headers than this Weir, though both have job ABI {} (its "
        "compiler: "
        "{}): the sizes of what they share differ; build it again with this version's headers",
        path, kJobAbi, entry->compiler));
  }
  return JobLibrary(path, std::move(sha256), entry);
}

StatusOr<BuiltJob> BuildJob(std::string name,
                            const std::function<void(JobBuilder&, Parameters&)>& build,
                            Parameters& parameters) {
  JobBuilder builder(std::move(name));
  std::vector<std::string> errors;
  try {
    build(builder, parameters);
  } catch (const std::exception& e) {
    errors.push_back(fmt::format("the builder threw: {}", e.what()));
  }
  StatusOr<BuiltJob> built = builder.Build();
  std::vector<std::string> wrong = parameters.Errors();
  errors.insert(errors.end(), wrong.begin(), wrong.end());
  // A graph built from wrong parameters has errors that follow from them; they would only hide the
  // cause.
  if (errors.empty() && !built.ok()) errors.emplace_back(built.status().message());
  if (!errors.empty()) {
    return absl::InvalidArgumentError(fmt::format("{}", fmt::join(errors, "\n")));
  }
  return built;
}

std::vector<Parameters::Declaration> JobLibrary::Describe() const {
  Parameters parameters({}, LocalResources());
  JobBuilder builder(name());
  try {
    entry_->build(builder, parameters);
  } catch (const std::exception&) {
    // What was declared until then is all there is to tell.
  }
  return parameters.declarations();
}

}  // namespace weir
