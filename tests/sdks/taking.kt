// SPDX-License-Identifier: Apache-2.0
// What docs/push-clients.md has an app do with one notification, twice: it may come twice, and so may a tap.
package org.example.glimpse

import java.io.File

fun main(given: Array<String>) {
    val (server, authorization, folder, messageId, messageKey) = given
    val (thumbnailUrl, deviceId, token) = given.drop(5)
    repeat(2) {
        val glimpse = Glimpse(server, authorization, File(folder))
        println(glimpse.isNew(messageId.toLong()))
        println(glimpse.thumbnail(thumbnailUrl)?.size)
        println(glimpse.take(messageKey)?.path)
        glimpse.register(deviceId.toLong(), token)
    }
}
