// SecurityOptions: what the flags --tls-cert, --tls-key, --tls-ca and --token-file of a coordinator
// and a worker say, and the rule that nobody is reachable from other machines without them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/status.h"
#include "runtime/net/address.h"
#include "runtime/net/tls.h"

namespace weir {

struct SecurityOptions {
  TlsFiles tls;
  std::string token_file;
};

// Whether only processes of this machine reach it. Of names, only "localhost" is.
bool IsLoopback(const std::string& host);

// FailedPrecondition, with the flags that are missing, where `address` can be reached from other
// machines and TLS or tokens are not all there. `flag` is the one that named the address:
// "--listen". Called before anything listens.
Status CheckListenAddress(std::string_view flag, const Address& address,
                          const SecurityOptions& options);

// The TLS of a member, which has a certificate; null where no flag asks for it. InvalidArgument
// where only some of the three are given; else as LoadTls().
StatusOr<std::shared_ptr<const TlsContext>> LoadMemberTls(const SecurityOptions& options);

}  // namespace weir
