// A job library: a shared object that defines one job with WEIR_JOB, built with hidden visibility
// and linked to the one shared libweir (weir_add_job() in CMake does both).
//
//   WEIR_JOB(late_flights, Build)     with void Build(weir::JobBuilder&, weir::Parameters&)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "jobs/job_builder.h"
#include "jobs/parameters.h"

namespace weir {

// Changes whenever a library built before could misread what it is handed.
inline constexpr uint32_t kJobAbi = 6;

struct JobEntry {
  uint32_t abi;
  uint32_t builder_bytes;  // sizes as the library saw them: a second guard against mixed headers
  uint32_t context_bytes;
  const char* compiler;
  const char* name;
  void (*build)(JobBuilder&, Parameters&);
};

// Runs a builder for a job of this name. InvalidArgument lists every error of parameters and graph,
// a line each.
StatusOr<BuiltJob> BuildJob(std::string name,
                            const std::function<void(JobBuilder&, Parameters&)>& build,
                            Parameters& parameters);

// A loaded library. Never unloaded: rows, code and graphs may live as long as the process.
class JobLibrary {
 public:
  // FailedPrecondition if the file is no job library or was built against another Weir; NotFound if
  // it does not exist.
  static StatusOr<JobLibrary> Load(const std::string& path);

  const std::string& path() const { return path_; }
  std::string name() const { return entry_->name; }
  const std::string& sha256() const { return sha256_; }

  StatusOr<BuiltJob> Build(Parameters& parameters) const {
    return BuildJob(name(), entry_->build, parameters);
  }
  // Runs the builder for its parameters alone; errors are ignored.
  std::vector<Parameters::Declaration> Describe() const;

 private:
  JobLibrary(std::string path, std::string sha256, const JobEntry* entry)
      : path_(std::move(path)), sha256_(std::move(sha256)), entry_(entry) {}

  std::string path_;
  std::string sha256_;
  const JobEntry* entry_;
};

}  // namespace weir

#define WEIR_JOB(name, builder)                                                                \
  extern "C" __attribute__((visibility("default"))) const ::weir::JobEntry* weir_job_entry() { \
    static const ::weir::JobEntry entry = {::weir::kJobAbi,                                    \
                                           sizeof(::weir::JobBuilder),                         \
                                           sizeof(::weir::OperatorContext),                    \
                                           __VERSION__,                                        \
                                           #name,                                              \
                                           builder};                                           \
    return &entry;                                                                             \
  }
