#include "runtime/net/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/verify_context.hpp>
#include <ctime>
#include <utility>
#include <vector>

#include "runtime/limits.h"
#include "core/time.h"
#include "runtime/net/tls_impl.h"
#include "runtime/security/secret_file.h"

namespace weir {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

// The fastest one first where processors have instructions for AES, which all that Weir runs on do.
constexpr char kCiphers[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr size_t kNameBytesMax = 200;  // of what a stranger's certificate says, in a log line

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;

std::string TextOf(BIO& bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(&bio, &bytes);
  std::string text(bytes, size > 0 ? static_cast<size_t>(size) : 0);
  if (text.size() > kNameBytesMax) text = text.substr(0, kNameBytesMax) + "...";
  return text;
}

std::string TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "a time that cannot be read";
  return FormatTimestamp(Seconds(timegm(&parts)));
}

std::string SubjectOf(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  return TextOf(*bio);
}

// "worker-1, 10.0.0.2". Bytes that are no plain text, as a stranger may send, are shown as '?'.
std::string AlternativeNamesOf(X509* certificate) {
  using Names = std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>>;
  const Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::string text;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    const ASN1_STRING* value = name->type == GEN_DNS
                                   ? static_cast<const ASN1_STRING*>(name->d.dNSName)
                                   : static_cast<const ASN1_STRING*>(name->d.iPAddress);
    const unsigned char* bytes = ASN1_STRING_get0_data(value);
    const auto size = static_cast<size_t>(ASN1_STRING_length(value));
    std::string one(reinterpret_cast<const char*>(bytes), size);
    if (name->type == GEN_IPADD && size == 4) {
      asio::ip::address_v4::bytes_type v4;
      std::copy_n(bytes, size, v4.begin());
      one = asio::ip::make_address_v4(v4).to_string();
    } else if (name->type == GEN_IPADD && size == 16) {
      asio::ip::address_v6::bytes_type v6;
      std::copy_n(bytes, size, v6.begin());
      one = asio::ip::make_address_v6(v6).to_string();
    }
    for (char& c : one) {
      if (c <= ' ' || c > '~') c = '?';
    }
    text += (text.empty() ? "" : ", ") + one;
    if (text.size() > kNameBytesMax) return text.substr(0, kNameBytesMax) + "...";
  }
  return text.empty() ? "nobody (it has no subject alternative name)" : text;
}

// Why a certificate is not believed. `host` is that of who was connected to; empty at a listener.
std::string DescribeRefusal(X509_STORE_CTX* store, const std::string& host) {
  const int error = X509_STORE_CTX_get_error(store);
  X509* certificate = X509_STORE_CTX_get_current_cert(store);
  if (certificate == nullptr) return X509_verify_cert_error_string(error);
  const std::string who =
      fmt::format("the certificate of '{}' that it presented", SubjectOf(certificate));
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return fmt::format("{} expired on {}", who, TimeOf(X509_get0_notAfter(certificate)));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return fmt::format("{} is not valid before {}", who,
                         TimeOf(X509_get0_notBefore(certificate)));
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return fmt::format("{} is for {}, not for '{}'", who, AlternativeNamesOf(certificate), host);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return fmt::format("{} is not signed by the CA of --tls-ca", who);
    case X509_V_ERR_INVALID_PURPOSE:
      return fmt::format("{} is not for {} by its extended key usage", who,
                         host.empty() ? "clients" : "servers");
    default:
      return fmt::format("{} is refused: {}", who, X509_verify_cert_error_string(error));
  }
}

void ListenToVerification(TlsStream& stream, std::string host, std::string& refusal) {
  stream.set_verify_callback(
      [host = std::move(host), &refusal](bool believed, asio::ssl::verify_context& context) {
        if (!believed && refusal.empty()) refusal = DescribeRefusal(context.native_handle(), host);
        return believed;
      });
}

Status WrongFile(const std::string& path, std::string_view what, const ErrorCode& error) {
  return absl::InvalidArgumentError(fmt::format("{} is not {}: {}", path, what, error.message()));
}

// A certificate that nobody would believe is told when it is loaded, not by each peer.
Status CheckValidToday(const std::string& path, asio::ssl::context& context) {
  X509* own = SSL_CTX_get0_certificate(context.native_handle());
  if (X509_cmp_current_time(X509_get0_notAfter(own)) < 0) {
    return absl::FailedPreconditionError(
        fmt::format("the certificate in {} expired on {}", path, TimeOf(X509_get0_notAfter(own))));
  }
  if (X509_cmp_current_time(X509_get0_notBefore(own)) > 0) {
    return absl::FailedPreconditionError(fmt::format("the certificate in {} is not valid before {}",
                                                     path, TimeOf(X509_get0_notBefore(own))));
  }
  return absl::OkStatus();
}

Status LoadOwn(const TlsFiles& files, asio::ssl::context& context) {
  WEIR_ASSIGN_OR_RETURN(const std::string cert,
                        ReadPublicFile(files.cert, limits::kTlsFileBytesMax));
  WEIR_ASSIGN_OR_RETURN(std::string key, ReadSecretFile(files.key, limits::kTlsFileBytesMax));
  ErrorCode error;
  context.use_certificate_chain(asio::buffer(cert), error);
  if (error) return WrongFile(files.cert, "a certificate in PEM", error);
  // Where the pass phrase is asked for, there is nobody to give one.
  bool wants_phrase = false;
  SSL_CTX_set_default_passwd_cb_userdata(context.native_handle(), &wants_phrase);
  SSL_CTX_set_default_passwd_cb(context.native_handle(), [](char*, int, int, void* wants) {
    *static_cast<bool*>(wants) = true;
    return -1;
  });
  context.use_private_key(asio::buffer(key), asio::ssl::context::pem, error);
  SSL_CTX_set_default_passwd_cb_userdata(context.native_handle(), nullptr);
  SSL_CTX_set_default_passwd_cb(context.native_handle(), nullptr);
  OPENSSL_cleanse(key.data(), key.size());
  if (wants_phrase) {
    return absl::InvalidArgumentError(fmt::format(
        "the key in {} has a pass phrase; Weir starts without anybody to type one", files.key));
  }
  if (error && ERR_GET_REASON(static_cast<unsigned>(error.value())) == X509_R_KEY_VALUES_MISMATCH) {
    return absl::InvalidArgumentError(
        fmt::format("the key in {} is not that of the certificate in {}", files.key, files.cert));
  }
  if (error) return WrongFile(files.key, "a private key in PEM", error);
  return CheckValidToday(files.cert, context);
}

}  // namespace

TlsContext::TlsContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsContext::~TlsContext() = default;

StatusOr<std::shared_ptr<const TlsContext>> LoadTls(const TlsFiles& files) {
  if (files.cert.empty() != files.key.empty()) {
    return absl::InvalidArgumentError("a certificate needs its key, and a key its certificate");
  }
  auto impl = std::make_unique<TlsContext::Impl>();
  SSL_CTX* context = impl->context.native_handle();
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context, kCiphers);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);

  WEIR_ASSIGN_OR_RETURN(const std::string ca, ReadPublicFile(files.ca, limits::kTlsFileBytesMax));
  ErrorCode error;
  impl->context.add_certificate_authority(asio::buffer(ca), error);
  if (error || ca.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("{} holds no certificates in PEM{}", files.ca,
                    error ? fmt::format(": {}", error.message()) : std::string()));
  }
  impl->has_certificate = !files.cert.empty();
  if (impl->has_certificate) WEIR_RETURN_IF_ERROR(LoadOwn(files, impl->context));
  ERR_clear_error();
  return std::make_shared<const TlsContext>(std::move(impl));
}

Status PrepareConnecting(TlsStream& stream, const std::string& host, std::string& refusal) {
  SSL* ssl = stream.native_handle();
  ErrorCode not_an_ip;
  asio::ip::make_address(host, not_an_ip);
  X509_VERIFY_PARAM* wanted = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(
      wanted, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const bool set = not_an_ip
                       ? X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), host.size()) == 1 &&
                             SSL_set_tlsext_host_name(ssl, host.c_str()) == 1
                       : X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) == 1;
  if (!set) return absl::InvalidArgumentError(fmt::format("'{}' is no name for TLS", host));
  stream.set_verify_mode(asio::ssl::verify_peer);
  ListenToVerification(stream, host, refusal);
  return absl::OkStatus();
}

void PrepareAccepting(TlsStream& stream, ClientCertificate wanted, std::string& refusal) {
  if (wanted == ClientCertificate::kNotWanted) {
    stream.set_verify_mode(asio::ssl::verify_none);
    return;
  }
  stream.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
  ListenToVerification(stream, "", refusal);
}

std::string DescribeTlsError(const ErrorCode& error, const std::string& refusal) {
  if (!refusal.empty()) return refusal;
  if (error == asio::ssl::error::stream_truncated) return "it closed the connection";
  if (error.category() != asio::error::get_ssl_category()) return error.message();
  const int reason = ERR_GET_REASON(static_cast<unsigned>(error.value()));
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "it presented no certificate";
    case SSL_R_HTTP_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNEXPECTED_MESSAGE:
      return "it does not speak TLS";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
      return "it does not speak TLS 1.3";
    default:
      break;
  }
  if (reason > SSL_AD_REASON_OFFSET) {
    return fmt::format("it refused the TLS of this process ({}); its log tells why",
                       error.message());
  }
  return error.message();
}

}  // namespace weir
