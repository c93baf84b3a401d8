# weir_add_job() and weir_add_plugin(): used in Weir's own tree and, behind find_package(Weir), in yours.

# Where `weir` looks beside its own folder, whatever a system calls its folder of libraries.
set(WEIR_INSTALL_JOBS lib/weir/jobs)
set(WEIR_INSTALL_PLUGINS lib/weir/plugins)

# weir_add_job(name SOURCES ... [LINK targets] [INSTALL]): a job library, jobs/lib<name>.so of the build folder, linked to the one
# shared libweir; the target is job_<name>. INSTALL has `cmake --install` put it where `weir run <name>` finds it.
function(weir_add_job name)
  cmake_parse_arguments(ARG "INSTALL" "" "SOURCES;LINK" ${ARGN})
  add_library(job_${name} SHARED ${ARG_SOURCES})
  target_link_libraries(job_${name} PRIVATE Weir::weir ${ARG_LINK})
  weir_isolate_symbols_(job_${name} ${name})
  set_target_properties(job_${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/jobs)
  if(ARG_INSTALL)
    install(TARGETS job_${name} LIBRARY DESTINATION ${WEIR_INSTALL_JOBS})
  endif()
endfunction()

# weir_add_plugin(name SOURCES ... [LINK targets] [FOLDER folder] [INSTALL]): a plugin, plugins/lib<name>.so of the build folder, or
# in another folder of it; the target is plugin_<name>. It links to nothing of Weir. INSTALL has `cmake --install` put it where
# `weir run` finds it.
function(weir_add_plugin name)
  cmake_parse_arguments(ARG "INSTALL" "FOLDER" "SOURCES;LINK" ${ARGN})
  if(NOT ARG_FOLDER)
    set(ARG_FOLDER plugins)
  endif()
  add_library(plugin_${name} MODULE ${ARG_SOURCES})
  target_link_libraries(plugin_${name} PRIVATE Weir::plugin ${ARG_LINK})
  weir_isolate_symbols_(plugin_${name} ${name})
  set_target_properties(plugin_${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${ARG_FOLDER})
  if(ARG_INSTALL)
    install(TARGETS plugin_${name} LIBRARY DESTINATION ${WEIR_INSTALL_PLUGINS})
  endif()
endfunction()

# Hidden visibility and -fno-gnu-unique keep a library's symbols apart from those of others in the process. It needs no run path:
# libweir is there before it is loaded.
function(weir_isolate_symbols_ target name)
  target_compile_options(${target} PRIVATE -fno-gnu-unique)
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name}
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    INSTALL_RPATH "")
endfunction()
