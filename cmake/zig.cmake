# Toolchain: the Clang of the PyPI package ziglang, for machines without a compiler and for other machines than this.
#   ZIG         its executable; by default that of the python3 on the path
#   ZIG_TARGET  what it compiles for, e.g. x86_64-linux-gnu.2.28: never left out, or it would be this very processor
# To compile for another system, CMAKE_SYSTEM_NAME says which: Linux, or Generic for a library that is not linked.
if(NOT ZIG)
  execute_process(
    COMMAND python3 -c "import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).with_name('zig').as_posix())"
    OUTPUT_VARIABLE ZIG OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
if(NOT ZIG OR NOT ZIG_TARGET)
  message(FATAL_ERROR "cmake/zig.cmake needs ZIG (pip install ziglang) and ZIG_TARGET")
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG ZIG_TARGET)

set(CMAKE_CXX_COMPILER "${ZIG}" c++ -target ${ZIG_TARGET})
set(CMAKE_CXX_FLAGS_INIT "-include stdio.h") # nanobind needs it, and libc++ does not bring it in
if(CMAKE_SYSTEM_NAME STREQUAL "Generic")
  # CMake's checks compile only: to link, zig would first build the other system's libraries, which takes minutes.
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
  set(CMAKE_CXX_FLAGS "-c ${CMAKE_CXX_FLAGS_INIT}" CACHE STRING "")
endif()

# zig's ar is a command with an argument, which CMAKE_AR cannot hold.
foreach(step CREATE:qc APPEND:q)
  string(REPLACE ":" ";" step ${step})
  list(GET step 0 when)
  list(GET step 1 how)
  set(CMAKE_CXX_ARCHIVE_${when} "\"${ZIG}\" ar ${how} <TARGET> <LINK_FLAGS> <OBJECTS>")
endforeach()
set(CMAKE_CXX_ARCHIVE_FINISH "\"${ZIG}\" ranlib <TARGET>")
set(CMAKE_AR "${ZIG}" CACHE FILEPATH "" FORCE)
set(CMAKE_RANLIB "${ZIG}" CACHE FILEPATH "" FORCE)
