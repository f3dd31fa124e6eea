# SPDX-License-Identifier: MIT
# Cross-building for 64-bit Windows with mingw-w64. What is found is found in
# SMX_MINGW_PREFIX (default: build/mingw-prefix, where scripts/mingw-deps puts it) alone.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(triplet x86_64-w64-mingw32)
# The variant with POSIX threads has C++ threads, which toml++ does not need but its headers name.
set(CMAKE_C_COMPILER ${triplet}-gcc-posix)
set(CMAKE_CXX_COMPILER ${triplet}-g++-posix)
set(CMAKE_RC_COMPILER ${triplet}-windres)
if(NOT DEFINED SMX_MINGW_PREFIX)
  get_filename_component(SMX_MINGW_PREFIX ${CMAKE_CURRENT_LIST_DIR}/../build/mingw-prefix ABSOLUTE)
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SMX_MINGW_PREFIX)
set(CMAKE_FIND_ROOT_PATH ${SMX_MINGW_PREFIX} /usr/${triplet})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
find_program(SMX_WINE wine)
if(SMX_WINE)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${SMX_WINE})
endif()
