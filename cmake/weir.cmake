# What the CMakeLists of the rooms and of tests call. Those of jobs and plugins call cmake/WeirLibraries.cmake.

# weir_room(core SOURCES a.cc b.cc [PROTOS p.proto] [LINK targets]): one room of libweir, an object library.
function(weir_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PROTOS;LINK" ${ARGN})
  add_library(weir_${name} OBJECT ${ARG_SOURCES})
  target_include_directories(weir_${name} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(weir_${name} PUBLIC ${ARG_LINK})
  foreach(proto ${ARG_PROTOS})
    weir_proto(weir_${name} ${proto})
  endforeach()
endfunction()

# Generates weir/<room>/<path>.pb.{h,cc} from <room>/<path>.proto: the name under which it registers starts with weir/, so that
# no other library's file of the same name meets it.
function(weir_proto target proto)
  cmake_path(REMOVE_EXTENSION proto OUTPUT_VARIABLE path)
  string(REPLACE "/" "_" stem ${path})
  file(RELATIVE_PATH room ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set(out ${PROJECT_BINARY_DIR}/generated/weir/${room}/${path}.pb)
  set(root ${PROJECT_BINARY_DIR}/proto)
  file(MAKE_DIRECTORY ${root} ${PROJECT_BINARY_DIR}/generated)
  if(NOT EXISTS ${root}/weir)
    file(CREATE_LINK ${PROJECT_SOURCE_DIR} ${root}/weir SYMBOLIC)
  endif()
  add_custom_command(
    OUTPUT ${out}.cc ${out}.h
    COMMAND protobuf::protoc --proto_path=${root} --cpp_out=${PROJECT_BINARY_DIR}/generated
            ${root}/weir/${room}/${proto}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${proto}
    VERBATIM)
  add_custom_target(${target}_${stem}_proto DEPENDS ${out}.h ${out}.cc)
  target_sources(${target} PRIVATE ${out}.cc)
  weir_compile_quickly(SOURCES ${out}.cc)
  add_dependencies(${target} ${target}_${stem}_proto)
endfunction()

# weir_test(name SOURCES ... [LABEL fast|slow] [SLOW filters] [SANITIZE] [TIMEOUT seconds] [LINK targets]): a GoogleTest binary, one
# of ctest's tests. Those of it that SLOW names ("Suite.Test*" ...) are a slow test of their own, name_slow. SANITIZE marks what
# can race or overflow: scripts/test.sh --all builds the target weir_sanitized_tests, which is all of these, with ASan+UBSan and
# with TSan, and runs `ctest -L sanitize` there. The label is the test's own, beside fast or slow.
function(weir_test name)
  cmake_parse_arguments(ARG "SANITIZE" "LABEL;TIMEOUT" "SOURCES;LINK;SLOW" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "weir_test(${name}): unknown arguments ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT ARG_LABEL)
    set(ARG_LABEL fast)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set(environment "")
  if(WEIR_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 5")
    list(APPEND environment
      "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1"
      "UBSAN_OPTIONS=print_stacktrace=1"
      "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=${PROJECT_SOURCE_DIR}/cmake/tsan.supp")
  endif()
  add_executable(${name} ${ARG_SOURCES})
  weir_compile_quickly(TARGET ${name})
  target_link_libraries(${name} PRIVATE weir_testing weir GTest::gmock GTest::gtest GTest::gtest_main ${ARG_LINK})
  set(tests ${name})
  if(ARG_SLOW)
    string(JOIN ":" slow ${ARG_SLOW})
    add_test(NAME ${name} COMMAND ${name} "--gtest_filter=-${slow}")
    add_test(NAME ${name}_slow COMMAND ${name} "--gtest_filter=${slow}")
    list(APPEND tests ${name}_slow)
  else()
    add_test(NAME ${name} COMMAND ${name})
  endif()
  set_tests_properties(${tests} PROPERTIES
    LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "${environment}")
  if(ARG_SLOW)
    set_tests_properties(${name}_slow PROPERTIES LABELS slow FAIL_REGULAR_EXPRESSION "Running 0 tests")
  endif()
  if(ARG_SANITIZE)
    set_property(TEST ${tests} APPEND PROPERTY LABELS sanitize)
    if(NOT TARGET weir_sanitized_tests)
      add_custom_target(weir_sanitized_tests)
    endif()
    add_dependencies(weir_sanitized_tests ${name})
  endif()
endfunction()
