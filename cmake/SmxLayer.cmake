# smx_layer(NAME [SUBDIR d] [LINK targets...]): the static library smx_NAME made
# of src/NAME/*.c (and src/NAME/SUBDIR/*.c).
function(smx_layer name)
	cmake_parse_arguments(arg "" "SUBDIR" "LINK" ${ARGN})
	file(GLOB sources CONFIGURE_DEPENDS
		${CMAKE_SOURCE_DIR}/src/${name}/*.c ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
	if(arg_SUBDIR)
		file(GLOB more CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/${arg_SUBDIR}/*.c)
		list(APPEND sources ${more})
	endif()
	add_library(smx_${name} STATIC ${sources})
	target_link_libraries(smx_${name} PUBLIC ${arg_LINK})
	smx_target_flags(smx_${name})
endfunction()
