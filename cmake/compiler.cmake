# Warnings, sanitizers, and what makes a build faster when it is there (ccache, mold); nothing of it is required.
add_compile_options(-Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Werror=return-type -Werror=unused-result)

set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

if(WEIR_SANITIZE)
  # With -O2 and every check a heavy file takes 2.4 times as long to compile as like this. The checks that are left out are the most
  # expensive ones: a null pointer ends the process anyway; wrong types and alignment go unnoticed where they do no harm here.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")
  add_compile_options(-fsanitize=${WEIR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  if(WEIR_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize=null,alignment,vptr)
  endif()
  if(WEIR_SANITIZE MATCHES thread)
    configure_file(${PROJECT_SOURCE_DIR}/cmake/map_field_tsan.h.in ${PROJECT_BINARY_DIR}/tsan/google/protobuf/map_field.h COPYONLY)
    include_directories(BEFORE ${PROJECT_BINARY_DIR}/tsan)
  endif()
  add_link_options(-fsanitize=${WEIR_SANITIZE})
endif()

find_program(WEIR_CCACHE ccache)
if(WEIR_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${WEIR_CCACHE})
endif()
find_program(WEIR_MOLD mold)
if(WEIR_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# weir_never_sanitize(target): built without the sanitizers that everything else may be built with.
function(weir_never_sanitize target)
  if(WEIR_SANITIZE)
    target_compile_options(${target} PRIVATE -fno-sanitize=all)
    target_link_options(${target} PRIVATE -fno-sanitize=all)
  endif()
endfunction()

# weir_compile_quickly(TARGET target | SOURCES files): no row passes through it (tests, commands, what coordinates), so less
# optimization costs nobody anything, and they compile in a fifth less time.
function(weir_compile_quickly kind)
  set(options "$<$<CONFIG:RelWithDebInfo>:-O1>")
  if(kind STREQUAL TARGET)
    target_compile_options(${ARGN} PRIVATE ${options})
  else()
    set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS ${options})
  endif()
endfunction()
