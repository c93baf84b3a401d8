// TLS 1.3 for connections: what a process shows of itself, and whom it believes.
//
//   std::shared_ptr<const TlsContext> tls = *LoadTls({"member.pem", "member.key", "ca.pem"});
//   Connection::Options options{.tls = tls};
//
// Who connects checks that the other's certificate is signed by the CA, is valid today, and names
// the host or address that was connected to (a subject alternative name; the common name is not
// looked at). Who listens asks for a certificate as well and checks it likewise, but for the name;
// where clients prove themselves otherwise, ClientCertificate::kNotWanted. A certificate with
// extended key usages needs that of a server, of a client, or both, as the process is used.
//
// Sessions are not resumed, so that every connection looks at the certificates anew.
//
// Loaded once, shared by all connections of a process, immutable; any thread.
#pragma once

#include <memory>
#include <string>

#include "core/status.h"

namespace weir {

// PEM files.
struct TlsFiles {
  std::string cert;  // this process's certificate, with those between it and the CA behind it
  std::string key;   // of the certificate, without a pass phrase
  std::string ca;    // certificates of those whose signature is believed

  bool operator==(const TlsFiles&) const = default;
};

enum class ClientCertificate { kRequired, kNotWanted };

class TlsContext {
 public:
  // Of the socket code only (tls_impl.h).
  struct Impl;
  explicit TlsContext(std::unique_ptr<Impl> impl);
  ~TlsContext();
  Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// Without cert and key: for a client of a listener that wants no certificate. Errors name the file
// and the reason: NotFound, PermissionDenied, InvalidArgument (no such PEM, a key that is another's
// or has a pass phrase), FailedPrecondition (a certificate that is not valid today, a key that
// others may read).
StatusOr<std::shared_ptr<const TlsContext>> LoadTls(const TlsFiles& files);

}  // namespace weir
