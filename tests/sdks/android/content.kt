// SPDX-License-Identifier: Apache-2.0
// As far as docs/mobile.md uses it, declared by hand: https://developer.android.com/reference
package android.content

import java.io.File

abstract class Context {
    abstract val noBackupFilesDir: File
}
