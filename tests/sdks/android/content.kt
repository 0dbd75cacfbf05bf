// SPDX-License-Identifier: Apache-2.0
// As far as docs/mobile.md and docs/push-clients.md use it, declared by hand: https://developer.android.com/reference
package android.content

import java.io.File

abstract class Context {
    abstract val noBackupFilesDir: File
    open val applicationContext: Context get() = TODO()
    fun getString(id: Int): String = TODO()
    fun <T> getSystemService(service: Class<T>): T = TODO()
}

class Intent(context: Context, component: Class<*>) {
    fun putExtra(name: String, value: String?): Intent = TODO()
}
