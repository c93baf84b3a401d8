// What coordinator and worker make of --tls-cert, --tls-key, --tls-ca and --token-file.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/rest/rest_server.h"
#include "runtime/security/security_options.h"
#include "runtime/security/token_authority.h"

namespace weir::cli {

struct Security {
  std::shared_ptr<const TlsContext> tls;   // null: in the clear
  std::shared_ptr<TokenAuthority> tokens;  // null: nobody is asked for one
};

// Checks the addresses, each with the flag that named it, and reads the files. FailedPrecondition
// where an address needs more than there is; else what is wrong with a file.
StatusOr<Security> OpenSecurity(const SecurityOptions& options,
                                const std::vector<std::pair<std::string_view, Address>>& addresses,
                                std::function<void(std::string_view line)> log);

// Has the server go by it. Refusals are logged, but not every one of a flood.
void Apply(const Security& security, RestServer::Options& options);

}  // namespace weir::cli
