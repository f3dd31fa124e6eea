# The systemd user unit has one text, packaging/ssh-mux.service.in: what `ssh-mux install` writes and
# what packages install. Here it becomes a header (config/unit_template.h) with the text in three
# strings: before the line's origin, up to ExecStart, and the rest.
set(unit_in ${CMAKE_SOURCE_DIR}/packaging/ssh-mux.service.in)
set(unit_header ${CMAKE_BINARY_DIR}/generated/config/unit_template.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${unit_in})
file(READ ${unit_in} unit)
if(NOT unit MATCHES "^# @ORIGIN@\n(.*\n)ExecStart=@COMMAND@\n(.*)$")
	message(FATAL_ERROR "${unit_in}: no lines \"# @ORIGIN@\" and \"ExecStart=@COMMAND@\"")
endif()
set(unit_head "${CMAKE_MATCH_1}")
set(unit_tail "${CMAKE_MATCH_2}")
foreach(part head tail)
	string(REGEX REPLACE "([\\\\\"])" "\\\\\\1" text "${unit_${part}}")
	string(REPLACE "\n" "\\n\"\n\t\"" text "${text}")
	string(APPEND unit_c "static const char unit_${part}[] =\n\t\"${text}\";\n")
endforeach()
file(CONFIGURE OUTPUT ${unit_header} CONTENT
	"/* Made from packaging/ssh-mux.service.in; see cmake/SmxUnit.cmake. */\n@unit_c@" @ONLY)
set(SMX_GENERATED_DIR ${CMAKE_BINARY_DIR}/generated)

# For packages: the program at its installed place.
function(smx_install_unit)
	set(ORIGIN "Part of the package ssh-mux. One that ssh-mux install writes takes precedence.")
	set(COMMAND "\"${CMAKE_INSTALL_FULL_BINDIR}/ssh-mux\" \"daemon\" \"--foreground\"")
	set(made ${CMAKE_BINARY_DIR}/generated/ssh-mux.service)
	string(REPLACE "@ORIGIN@" "${ORIGIN}" text "# @ORIGIN@\n${unit_head}ExecStart=@COMMAND@\n${unit_tail}")
	string(REPLACE "@COMMAND@" "${COMMAND}" text "${text}")
	file(WRITE ${made} "${text}")
	install(FILES ${made} DESTINATION lib/systemd/user)
endfunction()
