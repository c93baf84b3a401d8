// The OpenAPI 3.1 document of a table of routes; the schemas come from the messages' descriptors.
#pragma once

#include <string>
#include <vector>

#include "runtime/rest/routes.h"

namespace weir {

std::string OpenApiDocument(const std::vector<RestRoute>& routes);

}  // namespace weir
