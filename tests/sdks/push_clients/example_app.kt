// SPDX-License-Identifier: Apache-2.0
// As far as docs/push-clients.md uses it, declared by hand: what an app has of its own
package org.example.glimpse

import android.app.Activity
import android.app.Application

class MainActivity : Activity()

class GlimpseApplication : Application() {
    val glimpse: Glimpse get() = TODO()
    val deviceId: Long get() = TODO()
    fun forget() {}
}

object R {
    object string {
        const val new_message = 1
        const val moved_away = 2
    }

    object drawable {
        const val ic_message = 3
    }
}
