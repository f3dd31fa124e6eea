# Warnings, hardening and sanitizers, for every target of the project.
include(CheckCCompilerFlag)
include(CheckCSourceCompiles)
include(CheckLinkerFlag)

set(SMX_WARNINGS -Wall -Wextra -Wshadow -Wpointer-arith -Wwrite-strings -Wcast-qual
	-Wformat=2 -Wundef -Wvla)
set(SMX_C_WARNINGS -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition)
if(SMX_WERROR)
	list(APPEND SMX_WARNINGS -Werror)
endif()

set(SMX_HARDENING -fstack-protector-strong -fno-strict-aliasing)
check_c_compiler_flag(-fstack-clash-protection SMX_HAS_STACK_CLASH)
check_c_compiler_flag(-fcf-protection SMX_HAS_CF_PROTECTION)
if(NOT MINGW)
	if(SMX_HAS_STACK_CLASH)
		list(APPEND SMX_HARDENING -fstack-clash-protection)
	endif()
	if(SMX_HAS_CF_PROTECTION AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
		list(APPEND SMX_HARDENING -fcf-protection)
	endif()
endif()
if(MINGW)
	# One file without a DLL of the compiler's beside it; addresses that nobody can foresee.
	add_link_options(-static -fstack-protector-strong -Wl,--dynamicbase,--nxcompat,--high-entropy-va)
	add_compile_definitions(_WIN32_WINNT=0x0A00 __USE_MINGW_ANSI_STDIO=1)
endif()
# Names of source files in messages are the same wherever it is built.
add_compile_options(-fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT MINGW AND NOT APPLE)
	add_link_options(-Wl,-z,relro,-z,now -Wl,--as-needed)
endif()

if(SMX_ASAN)
	add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all
		-fno-omit-frame-pointer)
	add_link_options(-fsanitize=address,undefined)
	# With the runtimes linked in, at addresses that need no relocation, a program starts and ends
	# in two thirds of the time. The tests do that some ten thousand times.
	if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
		set(static_asan -no-pie -static-libasan -static-libubsan -static-libstdc++ -static-libgcc)
		check_linker_flag(CXX "-fsanitize=address,undefined;${static_asan}" SMX_HAS_STATIC_ASAN)
		if(SMX_HAS_STATIC_ASAN)
			set(SMX_ASAN_LINK ${static_asan})
		endif()
	endif()
elseif(SMX_TSAN)
	add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
	add_link_options(-fsanitize=thread)
elseif(SMX_COVERAGE) # scripts/fuzz-coverage: what an input reaches, not what it breaks
	add_compile_options(-fprofile-instr-generate -fcoverage-mapping -fsanitize=fuzzer-no-link)
	add_link_options(-fprofile-instr-generate)
elseif(SMX_FUZZ)
	add_compile_options(-fsanitize=fuzzer-no-link,address,undefined
		-fno-sanitize-recover=all -fno-omit-frame-pointer)
	add_link_options(-fsanitize=address,undefined)
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
	# A distribution's flags, or its compiler, may have chosen a level already: that one counts.
	set(CMAKE_REQUIRED_FLAGS -O2)
	check_c_source_compiles("
		#ifndef _FORTIFY_SOURCE
		#error none
		#endif
		int main(void) { return 0; }" SMX_HAS_FORTIFY)
	unset(CMAKE_REQUIRED_FLAGS)
	if(NOT SMX_HAS_FORTIFY)
		add_compile_definitions(_FORTIFY_SOURCE=2)
	endif()
	# Of C++'s library the TOML parser needs little; as a shared one it is 1.6 MB of the daemon's.
	# A static program has it anyway: the option ends with -Bdynamic, which would bring libc.so back.
	if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT SMX_STATIC)
		check_linker_flag(CXX "-static-libstdc++;-static-libgcc" SMX_HAS_STATIC_CXX)
		if(SMX_HAS_STATIC_CXX)
			add_link_options(-static-libstdc++ -static-libgcc)
		endif()
	endif()
endif()
# Asserts guard our own invariants on the path of somebody's servers: they stay in.
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")
string(REPLACE "-O3" "-O2" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")

function(smx_target_flags target)
	target_compile_options(${target} PRIVATE ${SMX_WARNINGS} ${SMX_HARDENING}
		$<$<COMPILE_LANGUAGE:C>:${SMX_C_WARNINGS}>)
	target_compile_definitions(${target} PRIVATE SMX_VERSION="${PROJECT_VERSION}"
		_GNU_SOURCE)
	target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/src)
endfunction()
