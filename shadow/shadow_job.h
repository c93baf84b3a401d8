// The woven job as a job library's builder makes it, from parameters: what `weir shadow` runs.
#pragma once

#include <memory>
#include <string_view>

#include "jobs/job_builder.h"
#include "jobs/parameters.h"
#include "shadow/rules.h"

namespace weir::shadow {

// The job's name, and that of its library.
inline constexpr const char* kShadowJob = "shadow";

// The rules of a file's bytes, on a day such as "2026-11-29"; of no bytes, those without a file.
StatusOr<std::shared_ptr<const ShadowRules>> RulesOn(std::string_view day, std::string_view yaml,
                                                     std::string_view file_name);

void BuildShadow(JobBuilder& job, Parameters& params);

}  // namespace weir::shadow
