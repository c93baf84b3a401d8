#include "runtime/rest/openapi.h"

#include <map>
#include <string_view>

#include "core/json.h"
#include "weir/runtime/rest/api.pb.h"

namespace weir {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

class Writer {
 public:
  explicit Writer(const std::vector<RestRoute>& routes) {
    json_.StartObject();
    Text("openapi", "3.1.0");
    Object("info", [&] {
      Text("title", "Weir");
      Text("summary", "What can be asked of a coordinator");
      Text("version", "1");
    });
    std::map<std::string, std::vector<const RestRoute*>> by_path;
    for (const RestRoute& route : routes) by_path[route.path].push_back(&route);
    Object("paths", [&] {
      for (const auto& [path, operations] : by_path) {
        Object(path, [&, &operations = operations] {
          for (const RestRoute* route : operations) Operation(*route);
        });
      }
    });
    AddSchema(*rest::Error::descriptor());
    Object("components", [&] {
      // A schema that is written may name further ones.
      Object("schemas", [&] {
        for (size_t i = 0; i < schemas_.size(); ++i) Schema(*schemas_[i]);
      });
      Object("securitySchemes", [&] {
        Object("token", [&] {
          Text("type", "http");
          Text("scheme", "bearer");
        });
      });
    });
    json_.EndObject();
  }

  std::string Document() const { return std::string(json_.text()) + "\n"; }

 private:
  template <class Members>
  void Object(std::string_view key, Members members) {
    json_.Key(key);
    json_.StartObject();
    members();
    json_.EndObject();
  }
  void Text(std::string_view key, std::string_view value) {
    json_.Key(key);
    json_.String(value);
  }

  void Operation(const RestRoute& route) {
    std::string method = route.method;
    for (char& c : method) c = static_cast<char>(c - 'A' + 'a');
    Object(method, [&] {
      Text("operationId", route.name);
      Text("summary", route.summary);
      json_.Key("security");
      json_.StartArray();
      if (route.role) {
        json_.StartObject();
        json_.Key("token");
        json_.StartArray();
        json_.String(RoleName(*route.role));
        json_.EndArray();
        json_.EndObject();
      }
      json_.EndArray();
      Parameters(route.path);
      if (route.body_bytes_max > 0) RequestBody(route);
      Object("responses", [&] {
        Object(std::to_string(route.status), [&] {
          Text("description", "Done");
          Content(route.response_type, route.response);
        });
        Object("default", [&] {
          Text("description", "What was wrong and what to do");
          Content("application/json", rest::Error::descriptor());
        });
      });
    });
  }

  void Parameters(std::string_view path) {
    json_.Key("parameters");
    json_.StartArray();
    for (size_t open = path.find('{'); open != path.npos; open = path.find('{', open + 1)) {
      const std::string_view name = path.substr(open + 1, path.find('}', open) - open - 1);
      const PathParameter& parameter = PathParameterNamed(name);
      json_.StartObject();
      Text("name", name);
      Text("in", "path");
      json_.Key("required");
      json_.Bool(true);
      Object("schema", [&] {
        Text("type", "string");
        Text("pattern", parameter.pattern);
      });
      Text("example", parameter.example);
      json_.EndObject();
    }
    json_.EndArray();
  }

  void RequestBody(const RestRoute& route) {
    Object("requestBody", [&] {
      json_.Key("required");
      json_.Bool(false);
      Object("content", [&] {
        Object(route.request != nullptr ? "application/json" : "application/octet-stream", [&] {
          Object("schema", [&] {
            if (route.request != nullptr) {
              Reference(*route.request);
            } else {
              Text("type", "string");
              json_.Key("maxLength");
              json_.Uint(route.body_bytes_max);
            }
          });
          // As a text, also where it is JSON: what is sent, byte for byte.
          Text("example", route.example);
        });
      });
    });
  }

  void Content(std::string_view type, const Descriptor* message) {
    Object("content", [&] {
      Object(type, [&] {
        Object("schema", [&] {
          if (message != nullptr) {
            Reference(*message);
          } else {
            Text("type", "string");
          }
        });
      });
    });
  }

  void Reference(const Descriptor& message) {
    AddSchema(message);
    Text("$ref", "#/components/schemas/" + std::string(message.name()));
  }

  void AddSchema(const Descriptor& message) {
    for (const Descriptor* known : schemas_) {
      if (known == &message) return;
    }
    schemas_.push_back(&message);
  }

  void Schema(const Descriptor& message) {
    Object(message.name(), [&] {
      Text("type", "object");
      Object("properties", [&] {
        for (int i = 0; i < message.field_count(); ++i) {
          const FieldDescriptor& field = *message.field(i);
          Object(field.name(), [&] {
            if (field.is_map()) {
              Text("type", "object");
              Object("additionalProperties", [&] { Value(*field.message_type()->map_value()); });
            } else if (field.is_repeated()) {
              Text("type", "array");
              Object("items", [&] { Value(field); });
            } else {
              Value(field);
            }
          });
        }
      });
      json_.Key("additionalProperties");
      json_.Bool(false);
    });
  }

  void Value(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Reference(*field.message_type());
      case FieldDescriptor::CPPTYPE_BOOL:
        return Text("type", "boolean");
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return Text("type", "number");
      case FieldDescriptor::CPPTYPE_UINT32:
        Text("type", "integer");
        json_.Key("minimum");
        return json_.Uint(0);
      default:
        return Text("type", "string");
    }
  }

  JsonWriter json_;
  std::vector<const Descriptor*> schemas_;
};

}  // namespace

std::string OpenApiDocument(const std::vector<RestRoute>& routes) {
  return Writer(routes).Document();
}

}  // namespace weir
