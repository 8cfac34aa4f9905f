/*
 * The kernel's interface to i915 as far as these programs use it: its own header where one is installed, else the same
 * declarations. Source: linux:include/uapi/drm/i915_drm.h, linux:include/uapi/drm/drm.h, linux:include/uapi/drm/drm_mode.h
 */
#pragma once

#if __has_include(<drm/i915_drm.h>)
#include <drm/i915_drm.h>
#elif __has_include(<libdrm/i915_drm.h>)
#include <libdrm/i915_drm.h>
#else

#include <linux/types.h>
#include <sys/ioctl.h>

struct drm_i915_getparam { __s32 param; int *value; };
struct drm_gem_close { __u32 handle, pad; };
struct drm_i915_gem_create { __u64 size; __u32 handle, pad; };
struct drm_i915_gem_pread { __u32 handle, pad; __u64 offset, size, data_ptr; };
struct drm_i915_gem_pwrite { __u32 handle, pad; __u64 offset, size, data_ptr; };
struct drm_i915_gem_mmap { __u32 handle, pad; __u64 offset, size, addr_ptr, flags; };
struct drm_i915_gem_mmap_gtt { __u32 handle, pad; __u64 offset; };
struct drm_i915_gem_set_domain { __u32 handle, read_domains, write_domain; };
struct drm_i915_gem_set_tiling { __u32 handle, tiling_mode, stride, swizzle_mode; };
struct drm_i915_gem_busy { __u32 handle, busy; };
struct drm_i915_gem_wait { __u32 bo_handle, flags; __s64 timeout_ns; };
struct drm_i915_gem_context_create { __u32 ctx_id, pad; };
struct drm_i915_gem_context_destroy { __u32 ctx_id, pad; };
struct drm_i915_gem_context_param { __u32 ctx_id, size; __u64 param, value; };
struct drm_i915_reset_stats { __u32 ctx_id, flags, reset_count, batch_active, batch_pending, pad; };
struct drm_i915_gem_exec_object2 {
	__u32 handle, relocation_count;
	__u64 relocs_ptr, alignment, offset, flags, rsvd1, rsvd2;
};
struct drm_i915_gem_execbuffer2 {
	__u64 buffers_ptr;
	__u32 buffer_count, batch_start_offset, batch_len, DR1, DR4, num_cliprects;
	__u64 cliprects_ptr, flags, rsvd1, rsvd2;
};

struct drm_mode_card_res {
	__u64 fb_id_ptr, crtc_id_ptr, connector_id_ptr, encoder_id_ptr;
	__u32 count_fbs, count_crtcs, count_connectors, count_encoders, min_width, max_width, min_height, max_height;
};
struct drm_mode_modeinfo {
	__u32 clock;
	__u16 hdisplay, hsync_start, hsync_end, htotal, hskew, vdisplay, vsync_start, vsync_end, vtotal, vscan;
	__u32 vrefresh, flags, type;
	char name[32];
};
struct drm_mode_crtc {
	__u64 set_connectors_ptr;
	__u32 count_connectors, crtc_id, fb_id, x, y, gamma_size, mode_valid;
	struct drm_mode_modeinfo mode;
};
struct drm_mode_get_connector {
	__u64 encoders_ptr, modes_ptr, props_ptr, prop_values_ptr;
	__u32 count_modes, count_props, count_encoders, encoder_id, connector_id, connector_type, connector_type_id;
	__u32 connection, mm_width, mm_height, subpixel, pad;
};
struct drm_mode_fb_cmd { __u32 fb_id, width, height, pitch, bpp, depth, handle; };
struct drm_mode_create_dumb { __u32 height, width, bpp, flags, handle, pitch; __u64 size; };
struct drm_mode_map_dumb { __u32 handle, pad; __u64 offset; };
struct drm_mode_crtc_page_flip { __u32 crtc_id, fb_id, flags, reserved; __u64 user_data; };
struct drm_mode_cursor2 { __u32 flags, crtc_id; __s32 x, y; __u32 width, height, handle; __s32 hot_x, hot_y; };
struct drm_crtc_get_sequence { __u32 crtc_id, active; __u64 sequence; __s64 sequence_ns; };
struct drm_event { __u32 type, length; };
struct drm_event_vblank {
	struct drm_event base;
	__u64 user_data;
	__u32 tv_sec, tv_usec, sequence, crtc_id;
};

#define DRM_MODE_CONNECTED 1
#define DRM_MODE_TYPE_PREFERRED (1 << 3)
#define DRM_MODE_PAGE_FLIP_EVENT 0x01
#define DRM_MODE_CURSOR_BO 0x01
#define DRM_MODE_CURSOR_MOVE 0x02
#define DRM_EVENT_FLIP_COMPLETE 0x02

#define I915_EXEC_RENDER (1 << 0)
#define I915_EXEC_BSD (2 << 0)
#define I915_EXEC_BLT (3 << 0)
#define I915_EXEC_VEBOX (4 << 0)
#define I915_EXEC_NO_RELOC (1 << 11)
#define EXEC_OBJECT_WRITE (1 << 2)
#define EXEC_OBJECT_SUPPORTS_48B_ADDRESS (1 << 3)
#define EXEC_OBJECT_PINNED (1 << 4)
#define I915_TILING_NONE 0
#define I915_TILING_X 1
#define I915_TILING_Y 2
#define I915_GEM_DOMAIN_CPU 0x01
#define I915_GEM_DOMAIN_GTT 0x40
#define I915_PARAM_HAS_SCHEDULER 41
#define I915_SCHEDULER_CAP_PREEMPTION (1ul << 2)
#define I915_CONTEXT_PARAM_NO_ERROR_CAPTURE 0x4
#define I915_CONTEXT_PARAM_PRIORITY 0x6
#define I915_CONTEXT_PARAM_RECOVERABLE 0x8

#define DRM_IOCTL_GEM_CLOSE _IOW('d', 0x09, struct drm_gem_close)
#define DRM_IOCTL_CRTC_GET_SEQUENCE _IOWR('d', 0x3b, struct drm_crtc_get_sequence)
#define DRM_IOCTL_MODE_GETRESOURCES _IOWR('d', 0xa0, struct drm_mode_card_res)
#define DRM_IOCTL_MODE_SETCRTC _IOWR('d', 0xa2, struct drm_mode_crtc)
#define DRM_IOCTL_MODE_GETCONNECTOR _IOWR('d', 0xa7, struct drm_mode_get_connector)
#define DRM_IOCTL_MODE_ADDFB _IOWR('d', 0xae, struct drm_mode_fb_cmd)
#define DRM_IOCTL_MODE_RMFB _IOWR('d', 0xaf, unsigned int)
#define DRM_IOCTL_MODE_PAGE_FLIP _IOWR('d', 0xb0, struct drm_mode_crtc_page_flip)
#define DRM_IOCTL_MODE_CREATE_DUMB _IOWR('d', 0xb2, struct drm_mode_create_dumb)
#define DRM_IOCTL_MODE_MAP_DUMB _IOWR('d', 0xb3, struct drm_mode_map_dumb)
#define DRM_IOCTL_MODE_CURSOR2 _IOWR('d', 0xbb, struct drm_mode_cursor2)
#define DRM_IOCTL_I915_GETPARAM _IOWR('d', 0x46, struct drm_i915_getparam)
#define DRM_IOCTL_I915_GEM_BUSY _IOWR('d', 0x57, struct drm_i915_gem_busy)
#define DRM_IOCTL_I915_GEM_CREATE _IOWR('d', 0x5b, struct drm_i915_gem_create)
#define DRM_IOCTL_I915_GEM_PREAD _IOW('d', 0x5c, struct drm_i915_gem_pread)
#define DRM_IOCTL_I915_GEM_PWRITE _IOW('d', 0x5d, struct drm_i915_gem_pwrite)
#define DRM_IOCTL_I915_GEM_MMAP _IOWR('d', 0x5e, struct drm_i915_gem_mmap)
#define DRM_IOCTL_I915_GEM_SET_DOMAIN _IOW('d', 0x5f, struct drm_i915_gem_set_domain)
#define DRM_IOCTL_I915_GEM_SET_TILING _IOWR('d', 0x61, struct drm_i915_gem_set_tiling)
#define DRM_IOCTL_I915_GEM_MMAP_GTT _IOWR('d', 0x64, struct drm_i915_gem_mmap_gtt)
#define DRM_IOCTL_I915_GEM_EXECBUFFER2 _IOW('d', 0x69, struct drm_i915_gem_execbuffer2)
#define DRM_IOCTL_I915_GEM_WAIT _IOWR('d', 0x6c, struct drm_i915_gem_wait)
#define DRM_IOCTL_I915_GEM_CONTEXT_CREATE _IOWR('d', 0x6d, struct drm_i915_gem_context_create)
#define DRM_IOCTL_I915_GEM_CONTEXT_DESTROY _IOW('d', 0x6e, struct drm_i915_gem_context_destroy)
#define DRM_IOCTL_I915_GET_RESET_STATS _IOWR('d', 0x72, struct drm_i915_reset_stats)
#define DRM_IOCTL_I915_GEM_CONTEXT_SETPARAM _IOWR('d', 0x75, struct drm_i915_gem_context_param)

#endif
