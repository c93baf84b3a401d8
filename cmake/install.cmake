# What `cmake --install` puts where, and the Debian packages that `cpack` makes of it: weir, which runs jobs, and weir-dev, which
# builds them. Whole rooms are installed, so that no list of headers has to be kept.
include(CMakePackageConfigHelpers)

set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Weir)
set(header_folder ${CMAKE_INSTALL_INCLUDEDIR}/weir)

# The command and its library. Jobs and plugins are installed where they are added (INSTALL).
install(TARGETS weir_cli RUNTIME)
install(TARGETS weir_plugin_host RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/weir)  # in which isolated plugins run
install(TARGETS weir plugin_api EXPORT WeirTargets
  LIBRARY COMPONENT runtime NAMELINK_COMPONENT dev)
# The test kit: its code ends up in the tests that link it.
install(TARGETS weir_testing EXPORT WeirTargets ARCHIVE COMPONENT dev)

# Headers lie under include/weir with their paths, as `#include "jobs/job.h"` names them; what protoc generates is included as
# weir/<room>/<name>.pb.h, and include/ finds that in the same place.
foreach(room core state operators jobs runtime shadow testing)
  if(IS_DIRECTORY ${PROJECT_SOURCE_DIR}/${room})
    install(DIRECTORY ${room} DESTINATION ${header_folder} COMPONENT dev
      FILES_MATCHING PATTERN "*.h" PATTERN event_pipeline EXCLUDE)
  endif()
endforeach()
install(DIRECTORY ${PROJECT_BINARY_DIR}/generated/weir/ DESTINATION ${header_folder} COMPONENT dev
  FILES_MATCHING PATTERN "*.pb.h")

# find_package(Weir).
install(EXPORT WeirTargets NAMESPACE Weir:: DESTINATION ${config_folder} COMPONENT dev)
configure_package_config_file(cmake/WeirConfig.cmake.in ${PROJECT_BINARY_DIR}/WeirConfig.cmake
  INSTALL_DESTINATION ${config_folder} PATH_VARS CMAKE_INSTALL_BINDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/WeirConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/WeirConfig.cmake ${PROJECT_BINARY_DIR}/WeirConfigVersion.cmake cmake/WeirLibraries.cmake
  DESTINATION ${config_folder} COMPONENT dev)

# What `weir new` copies. The command of the build folder looks in the same place beside its own.
install(DIRECTORY templates DESTINATION share/weir COMPONENT dev)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/share/weir)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/templates ${PROJECT_BINARY_DIR}/share/weir/templates SYMBOLIC)

# What Prometheus is told of a cluster.
install(DIRECTORY packaging/prometheus DESTINATION share/weir)

# What Debian asks of a package.
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(packaging/changelog.in ${PROJECT_BINARY_DIR}/packaging/changelog @ONLY)
execute_process(COMMAND gzip -9fnk ${PROJECT_BINARY_DIR}/packaging/changelog COMMAND_ERROR_IS_FATAL ANY)
foreach(package weir:runtime weir-dev:dev)
  string(REPLACE : ";" package ${package})
  list(GET package 0 name)
  list(GET package 1 component)
  install(FILES packaging/copyright ${PROJECT_BINARY_DIR}/packaging/changelog.gz
    DESTINATION share/doc/${name} COMPONENT ${component})
endforeach()
install(FILES packaging/weir.lintian-overrides DESTINATION share/lintian/overrides RENAME weir)
configure_file(packaging/shlibs.in ${PROJECT_BINARY_DIR}/packaging/shlibs @ONLY)

# cpack --config build/CPackConfig.cmake -B FOLDER
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME weir)
set(CPACK_PACKAGE_VENDOR "The Weir maintainers")
set(CPACK_PACKAGE_CONTACT "The Weir maintainers <maintainers@weir.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "stateful stream processing, exactly once")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL runtime dev)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME weir)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA
  ${PROJECT_BINARY_DIR}/packaging/shlibs ${PROJECT_SOURCE_DIR}/packaging/triggers)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION
  "Weir runs stream-processing jobs written in C++: it checkpoints them\n\
while they run and goes on after a crash as if nothing had happened. This\n\
package has the weir command, its library, and a ready-made job for\n\
pipelines of JSON events.")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME weir-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
# What the headers that a job includes stand on; tests/system/install_test.py compares it with what the compiler reads.
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "weir (= ${PROJECT_VERSION}), libabsl-dev, libboost1.81-dev, libfmt-dev")
set(CPACK_DEBIAN_DEV_PACKAGE_RECOMMENDS "cmake, g++, libgtest-dev, make")
set(CPACK_COMPONENT_DEV_DESCRIPTION
  "Headers, CMake functions and templates for the job libraries and plugins\n\
that the weir command runs.")
include(CPack)
